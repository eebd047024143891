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
/** Messages are tried for this long; and so is what the other side may ask for in pause. */
export const TRIED_FOR_MS = 72 * 3_600_000;

/**
 * Makes an attempt: a failure becomes words, and secrets are blanked out
 * wherever they have got into what was said, by this side or the other.
 * @param secrets gives what must not be shown
 */
export async function attempt(secrets: () => readonly string[], send: () => Promise<Sent>): Promise<Sent> {
  const sent = await send().catch((error: unknown): Sent => ({ delivered: false, detail: words(error) }));
  const hidden = secrets().filter((secret) => secret !== '');
  return { ...sent, detail: hidden.reduce((clean, secret) => clean.replaceAll(secret, '…'), sent.detail) };
}

function words(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  return `${error instanceof Error ? error.message : String(error)}${cause}`;
}

/** The part of a URL that may be a secret: what comes after the host. */
export function placeOf(url: string): string[] {
  if (!URL.canParse(url)) return [url];
  const { pathname, search } = new URL(url);
  return [url, `${pathname}${search}`, pathname].filter((part) => part.length > 1);
}
