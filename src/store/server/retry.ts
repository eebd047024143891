import { setTimeout as wait } from 'node:timers/promises';

/** First pause between two tries, and the longest, ms. */
const PAUSE = { first: 50, most: 2_000 };

/** How long to try again, and who is told that it is being tried. */
export interface Patience {
  /** Counted from the first failure, ms. */
  retryForMs: number;
  /** From 0 to 1: spreads the tries of many processes. */
  random: () => number;
  /** Told of the first failure that is worth waiting for. */
  onWait: (failure: Error) => void;
}

/**
 * Does something again and again while it fails with what may pass, with
 * pauses that grow, for as long as patience lasts; then throws the last failure.
 * @param mayPass whether a failure may pass by itself
 */
export async function persist<T>(
  work: () => Promise<T>,
  { retryForMs, random, onWait }: Patience,
  mayPass: (failure: unknown) => failure is Error,
): Promise<T> {
  let first: number | undefined;
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!mayPass(error)) throw error;
      first ??= performance.now();
      const pause = pauseAfter(tries, random);
      if (performance.now() + pause - first > retryForMs) throw error;
      if (tries === 0) onWait(error);
      await wait(pause);
    }
  }
}

/** Twice as long each time, and anything from half of that to all of it. */
function pauseAfter(tries: number, random: () => number): number {
  return Math.min(PAUSE.most, PAUSE.first * 2 ** tries) * (0.5 + random() / 2);
}
