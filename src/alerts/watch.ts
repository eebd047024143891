import { setTimeout } from 'node:timers/promises';
import type { Store } from '../store/store.ts';
import { ALL_MONTHS, type CheckResult, checkAlerts, THIS_MONTH } from './check.ts';
import type { DeliveryDeps } from './outbox.ts';

/** Pause between two evaluations. */
const EVERY_MS = 15_000;
/** Of so many evaluations one looks at past months too: late events are rare, and a year takes ten times as long. */
const PAST_EACH = 40;

/**
 * Evaluates the alerts and sends what is due, again and again until it is told
 * to stop; returns when the last evaluation is done.
 * @param options.onResult is told of each evaluation
 * @param options.onError is told where one fails; the next is made all the same
 */
export async function watchAlerts(
  store: Store,
  deps: DeliveryDeps,
  {
    signal,
    onResult,
    onError,
  }: { signal: AbortSignal; onResult: (result: CheckResult) => void; onError: (error: unknown) => void },
): Promise<void> {
  for (let round = 0; !signal.aborted; round++) {
    try {
      onResult(await checkAlerts(store, deps, round % PAST_EACH === 0 ? ALL_MONTHS : THIS_MONTH));
    } catch (error) {
      onError(error);
    }
    await setTimeout(EVERY_MS, undefined, { signal }).catch(() => {});
  }
}
