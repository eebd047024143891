import { listAlerts } from '../../alerts/alerts.ts';
import type { ChannelName } from '../../alerts/channels/channel.ts';
import { type Reached, reachMail, reachUrl, reachWebhook } from '../../alerts/channels/reach.ts';
import { channelSettings, missingSettings, settingExample } from '../../alerts/channels/settings.ts';
import { plural } from '../../render/text.ts';
import { type Check, dataOf, type Finding, type Subject } from '../check.ts';

/** A place that does not answer is waited for so long, ms. */
const WAIT_MS = 5_000;

interface Place {
  channel: ChannelName;
  /** Safe to show. */
  target: string;
  reach: () => Promise<Reached>;
}

/** Whether what alerts are sent by is set, and answers. Nothing is sent. */
export const channels: Check = {
  name: 'channels',
  async run(subject) {
    const settings = channelSettings(subject.env);
    const alerts = await storedAlerts(subject);
    const missing = [...new Set(alerts.flatMap((alert) => missingSettings(alert, settings)))];
    const findings: Finding[] = missing.map((variable) => ({
      code: 'channel_not_set',
      message: `alerts are to be sent by a channel that needs ${variable}, which is not set`,
      fix: `export ${settingExample(variable)}, or infrasage alerts add with --no-email, --no-slack or --no-webhook`,
    }));
    const places = placesOf(settings, alerts);
    if (places.length === 0 && missing.length === 0) return { skipped: 'no channel is used' };
    if (subject.offline) {
      const details = { places: places.map(({ channel, target }) => ({ channel, target, reached: null })) };
      return { summary: `${places.length} not tried (--offline)`, findings, details };
    }
    const reached = await Promise.all(places.map(async (place) => ({ ...place, ...(await place.reach()) })));
    const away = reached.filter((place) => !place.reached);
    findings.push(
      ...away.map(({ channel, target, detail }) => ({
        code: 'channel_unreachable',
        message: `${channel} ${target}: ${detail}`,
        fix: channel === 'webhook' ? 'infrasage alerts list shows who uses it' : `check ${VARIABLE[channel]}`,
      })),
    );
    return {
      summary: summaryOf(reached.length, away.length, missing.length),
      findings,
      details: {
        places: reached.map(({ channel, target, reached: is, detail }) => ({
          channel,
          target,
          reached: is,
          detail,
        })),
      },
    };
  },
};

function summaryOf(places: number, away: number, missing: number): string {
  const words = [
    ...(places > 0 ? [`${places - away} of ${places} answer`] : []),
    ...(missing > 0 ? [`${plural(missing, 'setting')} missing`] : []),
  ];
  return words.join('; ');
}

const VARIABLE = { email: 'INFRASAGE_SMTP_URL', slack: 'SLACK_WEBHOOK_URL' } as const;

async function storedAlerts(subject: Subject) {
  const data = await dataOf(subject);
  if (!data || (data.kind === 'server' && (await data.server.schema()) === undefined)) return [];
  return listAlerts(data.reader, null);
}

function placesOf(
  { smtpUrl, slackWebhookUrl, webhookAllowHosts }: ReturnType<typeof channelSettings>,
  alerts: Awaited<ReturnType<typeof listAlerts>>,
): Place[] {
  const webhooks = new Map(
    alerts.flatMap(({ webhook }) =>
      webhook !== null && URL.canParse(webhook) ? [[new URL(webhook).origin, webhook] as const] : [],
    ),
  );
  return [
    ...(smtpUrl
      ? [
          {
            channel: 'email' as const,
            target: URL.canParse(smtpUrl) ? new URL(smtpUrl).host : '',
            reach: () => reachMail(smtpUrl, WAIT_MS),
          },
        ]
      : []),
    ...(slackWebhookUrl
      ? [
          {
            channel: 'slack' as const,
            target: URL.canParse(slackWebhookUrl) ? new URL(slackWebhookUrl).host : '',
            reach: () => reachUrl(slackWebhookUrl, { timeoutMs: WAIT_MS }),
          },
        ]
      : []),
    ...[...webhooks].map(([target, url]) => ({
      channel: 'webhook' as const,
      target,
      reach: () => reachWebhook(url, { timeoutMs: WAIT_MS, allowHosts: webhookAllowHosts }),
    })),
  ];
}
