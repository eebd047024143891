import { type Digest, lines, subject } from '../message.ts';
import { attempt, type Channel, type ChannelSettings, placeOf } from './channel.ts';
import { postJson } from './post.ts';

/** Slack, by an incoming webhook: Block Kit, with a text for notifications. */
export function slackChannel({ slackWebhookUrl, slackChannel: channel }: ChannelSettings): Channel {
  return {
    send: (digest, _, options) =>
      attempt(
        () => placeOf(slackWebhookUrl ?? ''),
        async () => {
          if (!slackWebhookUrl) return { delivered: false, detail: 'SLACK_WEBHOOK_URL is not set' };
          if (!URL.canParse(slackWebhookUrl))
            return { delivered: false, detail: 'SLACK_WEBHOOK_URL is not a URL' };
          const headers = { 'idempotency-key': digest.id };
          return postJson(slackWebhookUrl, JSON.stringify(blocks(digest, channel)), { headers, ...options });
        },
      ),
  };
}

function blocks(digest: Digest, channel: string | undefined) {
  return {
    ...(channel ? { channel } : {}),
    text: escapeSlack(subject(digest)),
    blocks: [
      ...lines(digest).map(({ head, details }) => ({
        type: 'section',
        // verbatim: Slack links nothing by itself.
        text: { type: 'mrkdwn', verbatim: true, text: `*${escapeSlack(head)}*\n${escapeSlack(details)}` },
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
