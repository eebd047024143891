import { setTimeout as wait } from 'node:timers/promises';
import type { Retries } from '../store.ts';

/** First pause between two tries, and the longest, ms. */
const PAUSE = { first: 50, most: 2_000 };

/** How long to try again, and who is told that it is being tried. */
export interface Patience extends Retries {
  /** Told of a failure that is waited for. */
  onWait: (failure: Error) => void;
}

/**
 * Pauses that are twice as long each time, and anything from half of that to all of it.
 * @param random from 0 to 1: spreads the tries of many processes
 */
export function retries(forMs: number, random: () => number): Retries {
  return {
    forMs,
    pauseMs: (tries) => Math.min(PAUSE.most, PAUSE.first * 2 ** tries) * (0.5 + random() / 2),
  };
}

/**
 * Does something again and again while it fails with what may pass, for as
 * long as patience lasts; then throws the last failure.
 * @param mayPass whether a failure may pass by itself
 */
export async function persist<T>(
  work: () => Promise<T>,
  { forMs, pauseMs, onWait }: Patience,
  mayPass: (failure: unknown) => failure is Error,
): Promise<T> {
  let first: number | undefined;
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!mayPass(error)) throw error;
      first ??= performance.now();
      const pause = pauseMs(tries);
      if (performance.now() + pause - first > forMs) throw error;
      onWait(error);
      await wait(pause);
    }
  }
}
