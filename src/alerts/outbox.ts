import { createHash } from 'node:crypto';
import pLimit, { type LimitFunction } from 'p-limit';
import { z } from 'zod';
import { type Reader, type Store, sqlTime, utcTime } from '../store/store.ts';
import {
  CHANNELS,
  type Channel,
  type ChannelName,
  SEND_MS,
  type Sent,
  TRIED_FOR_MS,
} from './channels/channel.ts';
import { type Firing, readFirings } from './firings.ts';
import type { Digest } from './message.ts';

/** A digest for one place. What is to be sent follows from the firings: there is no moment in which one is stored without its messages. */
export interface Message {
  channel: ChannelName;
  /** An address or URL; empty for Slack. */
  target: string;
  digest: Digest;
  firedAt: Date;
}

/** sending: begun, and its outcome not known. expired: no longer tried. dropped: a person has said that it need not arrive. */
export const OUTCOMES = ['sending', 'delivered', 'failed', 'expired', 'dropped'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** One attempt to send a message, or that there are to be no more. */
export interface Attempt {
  messageId: string;
  channel: ChannelName;
  /** From 1. */
  attempt: number;
  outcome: Outcome;
  detail: string;
  startedAt: Date;
  /** Not to be tried again before. */
  nextAt: Date;
}

export interface DeliveryDeps {
  now(): Date;
  channels: Record<ChannelName, Channel>;
  /** From 0 to 1: spreads attempts. */
  random(): number;
  /** Once given, no further attempt begins. */
  enough?: AbortSignal;
  /** A person has asked for these messages: they are tried at once, also where they were given up or dropped. */
  byHand?: boolean;
}

/** What became of the messages there were to send. */
export interface Deliveries {
  /** Attempts of this run. */
  attempts: (Attempt & { target: string })[];
  /** Messages that are not delivered and wait for their next attempt, this run's failures among them; not those that another is sending. */
  waiting: number;
}

/** After this, an attempt without an outcome is taken for one whose process is gone. */
const LEASE_MS = 6 * SEND_MS;
const LONGEST_PAUSE_MS = 3_600_000;
/** Attempts at one host, and of e-mail, at one time. */
const AT_ONCE = 4;

/** The messages of firings: one for each evaluation and place. */
export function messagesOf(firings: readonly Firing[]): Message[] {
  const messages = new Map<string, Message & { digest: Digest & { firings: Firing[] } }>();
  for (const firing of firings) {
    for (const [channel, target] of targetsOf(firing)) {
      const id = createHash('sha256')
        .update(JSON.stringify([firing.digest, channel, target]))
        .digest('hex')
        .slice(0, 32);
      const { firedAt } = firing;
      const test = firing.kind === 'test';
      const message = messages.get(id) ?? { channel, target, firedAt, digest: { id, firings: [], test } };
      message.digest.firings.push(firing);
      messages.set(id, message);
    }
  }
  return [...messages.values()];
}

function targetsOf({ email, slack, webhook }: Firing): [ChannelName, string][] {
  return [
    ...(email === null ? [] : [['email', email] as const]),
    ...(slack ? [['slack', ''] as const] : []),
    ...(webhook === null ? [] : [['webhook', webhook] as const]),
  ].map(([channel, target]) => [channel, target]);
}

/**
 * Sends what is due: at least once, and not again once it is confirmed. What
 * fails is tried again later, by whoever calls this next, until it is delivered
 * or 72 hours old. Any number may run at once: an attempt is claimed first.
 */
export async function deliverDue(store: Store, deps: DeliveryDeps): Promise<Deliveries> {
  const now = deps.now();
  // Beyond the 72 hours, so that one that ran out while nobody looked is said to have.
  const since = new Date(now.getTime() - 3 * TRIED_FOR_MS);
  const firings = await readFirings(store, { since, tenantId: null });
  return deliver(store, messagesOf(firings.filter(({ kind }) => kind !== 'test')), deps);
}

/** Sends these messages, as far as they are due. */
export async function deliver(
  store: Store,
  messages: readonly Message[],
  deps: DeliveryDeps,
): Promise<Deliveries> {
  const done: Deliveries = { attempts: [], waiting: 0 };
  if (messages.length === 0) return done;
  const last = await lastAttempts(
    store,
    messages.map(({ digest }) => digest.id),
  );
  const open = messages.filter(({ digest }) => !isSettled(last.get(digest.id), deps));
  // Who does not answer takes its own time, not the others'.
  const limits = new Map<string, LimitFunction>();
  const limitOf = ({ channel, target }: Message) => {
    const key = `${channel} ${channel === 'webhook' && URL.canParse(target) ? new URL(target).host : ''}`;
    const limit = limits.get(key) ?? pLimit(AT_ONCE);
    limits.set(key, limit);
    return limit;
  };
  // A fault of the store ends one message, and is told when the others are done.
  const outcomes = await Promise.allSettled(
    open.map((message) =>
      limitOf(message)(async () => {
        const found = await attemptOne(store, message, deps);
        if (typeof found === 'object') done.attempts.push({ ...found, target: message.target });
        if (found === 'not due' || (typeof found === 'object' && found.outcome === 'failed'))
          done.waiting += 1;
      }),
    ),
  );
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  return done;
}

/** Why a message is not tried now: it failed a moment ago, or another has it. */
type Untried = 'not due' | 'elsewhere';

async function attemptOne(store: Store, message: Message, deps: DeliveryDeps): Promise<Attempt | Untried> {
  if (deps.enough?.aborted) return 'not due';
  const claimed = await store.exclusively('alert deliveries', () => claim(store, message, deps));
  if (typeof claimed === 'string' || claimed.outcome === 'expired') return claimed;
  const signal = AbortSignal.timeout(SEND_MS);
  const sent = await deps.channels[message.channel].send(message.digest, message.target, {
    now: deps.now(),
    signal,
  });
  const finished = deps.now();
  const attempt: Attempt = {
    ...claimed,
    outcome: sent.delivered ? 'delivered' : isOld(message, finished) ? 'expired' : 'failed',
    detail: sent.detail,
    nextAt: new Date(finished.getTime() + (sent.delivered ? 0 : pause(claimed.attempt, sent, deps.random))),
  };
  await record(store, attempt, 2);
  return attempt;
}

async function claim(store: Store, message: Message, deps: DeliveryDeps): Promise<Attempt | Untried> {
  const { digest, channel } = message;
  const { byHand = false } = deps;
  const now = deps.now();
  const before = (await lastAttempts(store, [digest.id])).get(digest.id);
  if (isSettled(before, deps)) return 'elsewhere';
  const of = { messageId: digest.id, channel, attempt: (before?.attempt ?? 0) + 1, startedAt: now };
  if (isOld(message, now) && !byHand) {
    const expired: Attempt = { ...of, outcome: 'expired', detail: 'not delivered in 72 hours', nextAt: now };
    await record(store, expired, 2);
    return expired;
  }
  if (before && isBeingSent(before, now)) return 'elsewhere';
  if (before && before.nextAt > now && !byHand) return 'not due';
  const attempt: Attempt = {
    ...of,
    outcome: 'sending',
    detail: '',
    nextAt: new Date(now.getTime() + LEASE_MS),
  };
  await record(store, attempt, 1);
  return attempt;
}

/** Whether an attempt is under way; one that has taken far longer than it may was left by a process that is gone. */
export function isBeingSent({ outcome, startedAt }: Attempt, now: Date): boolean {
  return outcome === 'sending' && now.getTime() - startedAt.getTime() < 2 * SEND_MS;
}

/** Whether there is to be no further attempt: only a person has one made of what was given up or dropped. */
function isSettled(last: Attempt | undefined, { byHand = false }: Pick<DeliveryDeps, 'byHand'>): boolean {
  const settled: Outcome[] = byHand ? ['delivered'] : ['delivered', 'expired', 'dropped'];
  return last !== undefined && settled.includes(last.outcome);
}

/** Whether it is no longer tried by itself. */
function isOld({ firedAt }: Message, now: Date): boolean {
  return now.getTime() - firedAt.getTime() > TRIED_FOR_MS;
}

/** One second, then twice as long each time up to an hour, and up to a quarter more; never less than the other side asks for. */
function pause(attempt: number, { retryAfterMs = 0 }: Sent, random: () => number): number {
  const backoff = Math.min(LONGEST_PAUSE_MS, 1_000 * 2 ** (attempt - 1));
  return Math.max(retryAfterMs, backoff * (1 + random() / 4));
}

/** Writes an attempt down. @param revision 1 when it begins, 2 with its outcome */
export async function record(store: Store, attempt: Attempt, revision: 1 | 2): Promise<void> {
  await store.insert('infrasage_alert_deliveries', {
    message_id: attempt.messageId,
    attempt: attempt.attempt,
    revision,
    channel: attempt.channel,
    outcome: attempt.outcome,
    detail: attempt.detail,
    started_at: sqlTime(attempt.startedAt),
    next_at: sqlTime(attempt.nextAt),
  });
}

/** The attempts at messages, in order. */
export async function readAttempts(store: Reader, messageIds: readonly string[]): Promise<Attempt[]> {
  if (messageIds.length === 0) return [];
  return store.query(
    `SELECT message_id, channel, attempt, outcome, detail, started_at, next_at
    FROM {{db}}.infrasage_alert_deliveries FINAL
    WHERE message_id IN {ids:Array(String)}
    ORDER BY message_id, attempt`,
    z
      .object({
        message_id: z.string(),
        channel: z.enum(CHANNELS),
        attempt: z.coerce.number(),
        outcome: z.enum(OUTCOMES),
        detail: z.string(),
        started_at: utcTime,
        next_at: utcTime,
      })
      .transform((row) => ({
        messageId: row.message_id,
        channel: row.channel,
        attempt: row.attempt,
        outcome: row.outcome,
        detail: row.detail,
        startedAt: row.started_at,
        nextAt: row.next_at,
      })),
    { ids: messageIds },
  );
}

/** The last attempt at each message that there was one at. */
export async function lastAttempts(
  store: Reader,
  messageIds: readonly string[],
): Promise<Map<string, Attempt>> {
  return new Map((await readAttempts(store, messageIds)).map((attempt) => [attempt.messageId, attempt]));
}
