import { setTimeout } from 'node:timers/promises';
import type { Store } from '../store/store.ts';
import { ALL_MONTHS, evaluateAlerts, THIS_MONTH } from './check.ts';
import type { Firing } from './firings.ts';
import { type Deliveries, type DeliveryDeps, deliverDue } from './outbox.ts';

/** Pause between two evaluations. */
const EVERY_MS = 15_000;
/** Of so many evaluations one looks at past months too: late events are rare, and a year takes ten times as long. */
const PAST_EACH = 40;

/**
 * Evaluates the alerts and sends what is due, again and again until it is told
 * to stop; returns when what is under way is done. Sending takes its own time:
 * the next evaluation does not wait for it.
 * @param options.onFired and onSent are told of what was found and done
 * @param options.onError is told where one fails; the next is made all the same
 */
export async function watchAlerts(
  store: Store,
  deps: DeliveryDeps,
  {
    stop,
    onFired,
    onSent,
    onError,
  }: {
    stop: AbortSignal;
    onFired: (fired: Firing[]) => void;
    onSent: (deliveries: Deliveries) => void;
    onError: (error: unknown) => void;
  },
): Promise<void> {
  let sending: Promise<void> | undefined;
  for (let round = 0; !stop.aborted; round++) {
    const pastMonths = round % PAST_EACH === 0 ? ALL_MONTHS : THIS_MONTH;
    await evaluateAlerts(store, { now: deps.now(), pastMonths }).then(onFired, onError);
    sending ??= deliverDue(store, { ...deps, enough: stop })
      .then(onSent, onError)
      .finally(() => {
        sending = undefined;
      });
    await setTimeout(EVERY_MS, undefined, { signal: stop }).catch(() => {});
  }
  await sending;
}
