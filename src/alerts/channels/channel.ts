import type { Digest } from '../message.ts';

export const CHANNELS = ['email', 'slack', 'webhook'] as const;
export type ChannelName = (typeof CHANNELS)[number];

/** Where alerts are sent, from the environment. Unset ones fail to send, and say what to set. */
export interface ChannelSettings {
  /** `smtp://user:password@host:port`, or smtps. Secret. */
  smtpUrl: string | undefined;
  smtpFrom: string | undefined;
  /** An incoming webhook of Slack. Secret. */
  slackWebhookUrl: string | undefined;
  slackChannel: string | undefined;
  /** Key of the signatures. Secret. */
  webhookSecret: string | undefined;
  /** Hosts that webhooks may name although they are not public https ones. */
  webhookAllowHosts: readonly string[];
}

/** What became of one attempt to send a message. */
export interface Sent {
  /** Whether the other side has confirmed it. */
  delivered: boolean;
  /** What it said, or what went wrong; untrusted text, without secrets. */
  detail: string;
  /** How long the other side asks to be left alone. */
  retryAfterMs?: number;
}

/** One way to send messages. Never throws: what goes wrong is in the result. */
export interface Channel {
  /**
   * @param target an address or URL; empty where there is one place only
   * @param signal ends the attempt
   */
  send(digest: Digest, target: string, options: { now: Date; signal: AbortSignal }): Promise<Sent>;
}

/** The longest that one attempt may take. */
export const SEND_MS = 10_000;

/** A failure in words; with secrets blanked out wherever they may have got into the text. */
export function failure(error: unknown, secrets: readonly (string | undefined)[]): Sent {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  const text = `${error instanceof Error ? error.message : String(error)}${cause}`;
  return { delivered: false, detail: redact(text, secrets) };
}

function redact(text: string, secrets: readonly (string | undefined)[]): string {
  return secrets.reduce<string>((clean, secret) => (secret ? clean.replaceAll(secret, '…') : clean), text);
}
