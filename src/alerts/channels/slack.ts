import { type Digest, lines, subject } from '../message.ts';
import { type Channel, type ChannelSettings, failure, type Sent } from './channel.ts';
import { postJson } from './post.ts';

/** Slack, by an incoming webhook: Block Kit, with a text for notifications. */
export function slackChannel({ slackWebhookUrl, slackChannel: channel }: ChannelSettings): Channel {
  return {
    async send(digest, _, { signal }): Promise<Sent> {
      if (!slackWebhookUrl) return { delivered: false, detail: 'SLACK_WEBHOOK_URL is not set' };
      if (!URL.canParse(slackWebhookUrl))
        return { delivered: false, detail: 'SLACK_WEBHOOK_URL is not a URL' };
      const { pathname, search } = new URL(slackWebhookUrl);
      try {
        return await postJson(slackWebhookUrl, JSON.stringify(blocks(digest, channel)), {
          headers: { 'idempotency-key': digest.id },
          signal,
        });
      } catch (error) {
        return failure(error, [
          slackWebhookUrl,
          `${pathname}${search}`,
          pathname.length > 1 ? pathname : undefined,
        ]);
      }
    },
  };
}

function blocks(digest: Digest, channel: string | undefined) {
  return {
    ...(channel ? { channel } : {}),
    text: escapeSlack(subject(digest)),
    blocks: [
      ...lines(digest).map(({ head, details }) => ({
        type: 'section',
        text: { type: 'mrkdwn', text: `*${escapeSlack(head)}*\n${escapeSlack(details)}` },
      })),
      { type: 'context', elements: [{ type: 'plain_text', text: `infrasage · ${digest.id}` }] },
    ],
  };
}

/** Slack's own three escapes: without them a name could be `<!channel>` or a link. Formatting marks are spelt apart. */
function escapeSlack(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replace(/[*_~`]/g, '$&\u200b');
}
