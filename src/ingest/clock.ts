import { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import { isoTime } from '../period.ts';
import { type Store, utcTime } from '../store/store.ts';

/**
 * Clocks of this machine and of its ClickHouse server that are apart by more, ms, are too far for a batch. From a day
 * on, a clock that is behind has an Idempotency-Key forgotten before its time; from seven days on, metering rows lose
 * their batch at once.
 */
export const MOST_APART_MS = 12 * 3_600_000;

/** What to do about clocks that are apart. */
export const SET_CLOCK = 'timedatectl set-ntp true';

/** What the engine's clock says, by which it rolls rows up and removes them. */
export async function engineTime(store: Pick<Store, 'query'>): Promise<Date> {
  const [row] = await store.query(`SELECT now64(3, 'UTC') AS now`, z.object({ now: utcTime }));
  if (!row) throw new InfrasageError('the engine does not say what time it is');
  return row.now;
}

/**
 * Refuses to begin a batch by a clock that is far from the server's; to be asked before anything of it is written. The
 * embedded engine goes by this machine's own.
 * @param kept what is stored all the same, where nobody adds that later
 * @throws InfrasageError (exit 3) with what both say
 */
export async function assertClock(
  store: Pick<Store, 'query' | 'manyHosts'>,
  now: () => Date,
  kept = '',
): Promise<void> {
  if (!store.manyHosts) return;
  const theirs = await engineTime(store);
  const ours = now();
  if (Math.abs(theirs.getTime() - ours.getTime()) <= MOST_APART_MS) return;
  throw new InfrasageError(
    `this machine's clock says ${isoTime(ours)} and that of the ClickHouse server ${isoTime(theirs)}: too far apart to ingest`,
    { kept, hint: `set the one that is wrong (${SET_CLOCK}) and run the same command again` },
  );
}
