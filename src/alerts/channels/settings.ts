import type { Channels } from '../alerts.ts';
import type { ChannelSettings } from './channel.ts';

/** The settings of the channels, from the environment: flags would show their secrets to others. An empty value is none. */
export function channelSettings(env: Readonly<Record<string, string | undefined>>): ChannelSettings {
  return {
    smtpUrl: env.INFRASAGE_SMTP_URL || undefined,
    smtpFrom: env.INFRASAGE_SMTP_FROM || undefined,
    slackWebhookUrl: env.SLACK_WEBHOOK_URL || undefined,
    slackChannel: env.SLACK_CHANNEL || undefined,
    webhookSecret: env.INFRASAGE_WEBHOOK_SECRET || undefined,
    webhookAllowHosts: (env.INFRASAGE_WEBHOOK_ALLOW_HOSTS ?? '')
      .split(',')
      .map((host) => host.trim().toLowerCase())
      .filter(Boolean),
  };
}

/** The variables that are not set and that an alert needs to be sent by its channels. */
export function missingSettings(
  alert: Channels,
  { smtpUrl, smtpFrom, slackWebhookUrl, webhookSecret }: ChannelSettings,
): string[] {
  return [
    ...(alert.email !== null && !smtpUrl ? ['INFRASAGE_SMTP_URL'] : []),
    ...(alert.email !== null && !smtpFrom ? ['INFRASAGE_SMTP_FROM'] : []),
    ...(alert.slack && !slackWebhookUrl ? ['SLACK_WEBHOOK_URL'] : []),
    ...(alert.webhook !== null && !webhookSecret ? ['INFRASAGE_WEBHOOK_SECRET'] : []),
  ];
}

/** How a variable of the channels is set, with a value of its kind. */
export function settingExample(variable: string): string {
  return `${variable}=${EXAMPLES[variable] ?? '…'}`;
}

const EXAMPLES: Readonly<Record<string, string>> = {
  INFRASAGE_SMTP_URL: 'smtp://user:password@host:587',
  INFRASAGE_SMTP_FROM: 'infrasage@example.com',
  SLACK_WEBHOOK_URL: 'https://hooks.slack.com/services/…',
  INFRASAGE_WEBHOOK_SECRET: '"$(openssl rand -hex 32)"',
};
