import type { Reader, Store } from '../store/store.ts';
import { TRIED_FOR_MS } from './channels/channel.ts';
import { readFirings } from './firings.ts';
import { type Attempt, isBeingSent, lastAttempts, type Message, messagesOf, record } from './outbox.ts';

/** A message that nobody has confirmed, and the last attempt at it. */
export interface Undelivered extends Message {
  last: Attempt | undefined;
}

/** How far back messages are looked for: thrice as long as they are tried, so that one that was given up is seen. */
const LOOKED_FOR_MS = 3 * TRIED_FOR_MS;

/**
 * The messages of the last nine days that are not delivered: those that are tried again, those given up, and those
 * dropped by hand.
 * @param options.tenantId those with a firing of this tenant; null: all
 */
export async function undelivered(
  store: Reader,
  { now, tenantId = null }: { now: Date; tenantId?: string | null },
): Promise<Undelivered[]> {
  const since = new Date(now.getTime() - LOOKED_FOR_MS);
  // Of everybody: a message has the firings of several tenants, and is known by all of them.
  const firings = await readFirings(store, { since, tenantId: null });
  const messages = messagesOf(firings.filter(({ kind }) => kind !== 'test')).filter(
    ({ digest }) => tenantId === null || digest.firings.some((firing) => firing.tenantId === tenantId),
  );
  const last = await lastAttempts(
    store,
    messages.map(({ digest }) => digest.id),
  );
  return messages
    .map((message) => ({ ...message, last: last.get(message.digest.id) }))
    .filter((message) => message.last?.outcome !== 'delivered');
}

/** How it is with an undelivered message. waiting: tried again by itself; expired: given up after 72 hours. */
export type State = 'waiting' | 'sending' | 'expired' | 'dropped';

export function stateOf({ last }: Undelivered, now: Date): State {
  if (last === undefined || last.outcome === 'failed' || last.outcome === 'delivered') return 'waiting';
  if (last.outcome === 'sending') return isBeingSent(last, now) ? 'sending' : 'waiting';
  return last.outcome;
}

/**
 * Ends the attempts at a message: it is not sent by itself any more, and no finding. That it was dropped is among its
 * attempts, with the reason.
 * @returns undefined where it is being sent just now or was delivered meanwhile
 */
export async function drop(
  store: Store,
  { digest, channel }: Message,
  { reason, now }: { reason: string; now: Date },
): Promise<Attempt | undefined> {
  return store.exclusively('alert deliveries', async () => {
    const before = (await lastAttempts(store, [digest.id])).get(digest.id);
    if (before && (before.outcome === 'delivered' || isBeingSent(before, now))) return undefined;
    const dropped: Attempt = {
      messageId: digest.id,
      channel,
      attempt: (before?.attempt ?? 0) + 1,
      ...{ outcome: 'dropped', detail: reason, startedAt: now, nextAt: now },
    };
    await record(store, dropped, 2);
    return dropped;
  });
}
