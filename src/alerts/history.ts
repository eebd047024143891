import { isoTime } from '../period.ts';
import type { Store } from '../store/store.ts';
import { type Firing, readFirings } from './firings.ts';
import { firingJson } from './message.ts';
import { type Attempt, type Message, messagesOf, readAttempts } from './outbox.ts';

/** A firing, and what became of each message it was in. */
export interface Past {
  firing: Firing;
  messages: (Message & { attempts: Attempt[] })[];
}

/** What has fired since a time, latest first, with every attempt to deliver it. */
export async function alertHistory(
  store: Store,
  query: { since: Date; tenantId: string | null; limit: number },
): Promise<Past[]> {
  const firings = await readFirings(store, query);
  const messages = messagesOf(firings);
  const attempts = await readAttempts(
    store,
    messages.map(({ digest }) => digest.id),
  );
  return firings.map((firing) => ({
    firing,
    messages: messages
      .filter(({ digest }) => digest.firings.includes(firing))
      .map((message) => ({
        ...message,
        attempts: attempts.filter(({ messageId }) => messageId === message.digest.id),
      })),
  }));
}

/** The JSON shape of an entry. A webhook is named by its host: the rest of a URL may be a secret. */
export function pastJson({ firing, messages }: Past) {
  return {
    ...firingJson(firing),
    deliveries: messages.map(({ channel, target, digest, attempts }) => ({
      channel,
      target: shownTarget(channel, target),
      message_id: digest.id,
      delivered: attempts.some(({ outcome }) => outcome === 'delivered'),
      attempts: attempts.map(({ attempt, outcome, detail, startedAt }) => ({
        attempt,
        at: isoTime(startedAt),
        outcome,
        detail,
      })),
    })),
  };
}

/** Where a message went, safe to show. */
export function shownTarget(channel: Message['channel'], target: string): string {
  if (channel === 'webhook') return URL.canParse(target) ? new URL(target).origin : '';
  return target;
}
