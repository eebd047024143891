import { link, rm } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { batchId } from '../store/batch-id.ts';
import { Interrupted } from '../store/failure.ts';
import { withRows } from '../store/row-lock.ts';
import type { Store } from '../store/store.ts';
import { repairMetering } from '../verify/repair.ts';
import type { Claim } from './claim.ts';
import { assertClock, engineTime } from './clock.ts';
import { type LedgerEntry, nextAttempt, ownerIn, recordAbort, recordCommit } from './ledger.ts';
import { spoolPath } from './spool.ts';
import { type BatchTotals, countBatch, isWhole, removeRows } from './stored-rows.ts';
import { beginAttempt, completeAttempt } from './write.ts';

/** An attempt at a batch, and its spool file. */
export interface Attempt {
  entry: LedgerEntry;
  path: string;
}

/**
 * Writes, counts and commits a batch that was begun. Where its writing is
 * interrupted by what may pass, the attempt is settled, and its lines are
 * written again under the next one, for as long as the store's patience lasts.
 * @param attempt is set to the attempt that is under way, which is the pending one where this throws
 * @throws InfrasageError (exit 3)
 */
export async function completeBatch(
  store: Store,
  claim: Claim,
  attempt: Attempt,
  now: () => Date,
): Promise<BatchTotals> {
  let interrupted: number | undefined;
  for (let tries = 0; ; tries++) {
    try {
      return await completeAttempt(store, attempt.entry, { path: attempt.path, now });
    } catch (error) {
      interrupted ??= performance.now();
      if (!(error instanceof Interrupted) || performance.now() - interrupted >= store.retries.forMs)
        throw error;
    }
    await setTimeout(store.retries.pauseMs(tries));
    await store.stopBatch(attempt.entry.batchId);
    const found = await countBatch(store, attempt.entry);
    if (isWhole(attempt.entry, found)) {
      await recordCommit(store, attempt.entry, found, now());
      return found;
    }
    await beginAgain(store, claim, attempt, now);
  }
}

/**
 * Removes what an attempt has written, and begins the next one.
 * @throws InfrasageError (exit 3); by a clock that no batch may begin by, before anything is done
 */
export async function beginAgain(
  store: Store,
  claim: Claim,
  attempt: Attempt,
  now: () => Date,
): Promise<void> {
  const { entry, path: spooled } = attempt;
  await assertClock(store, now);
  await remove(store, entry, now());
  // Another machine may have tried this batch since: a number is never used twice.
  const next = await nextAttempt(store, entry);
  const again = { ...entry, attempt: next, owner: ownerIn(store), receivedAt: now() };
  // The lines have two names, and the intent of the next attempt stands before this one is closed:
  // at no moment would a crash leave them without a pending batch that has a spool file.
  const path = spoolPath(store.spoolDir, { ...again, batchId: batchId(again.key, again.attempt) });
  await link(spooled, path).catch(ignoreExisting);
  attempt.entry = await beginAttempt(store, claim, again, now);
  attempt.path = path;
  await recordAbort(store, entry, now());
  await rm(spooled, { force: true });
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}

/** Metering rows lose their batch after seven days; with a day to spare. */
const ROLL_UP_MS = 6 * 24 * 3_600_000;

/**
 * Whether the metering rows of a batch may have lost it: by this machine's clock, or by that of a server, which rolls
 * them up.
 */
export async function mayBeRolledUp(store: Store, { receivedAt }: LedgerEntry, now: Date): Promise<boolean> {
  const times = store.manyHosts ? [now, await engineTime(store)] : [now];
  return times.some((time) => time.getTime() - receivedAt.getTime() > ROLL_UP_MS);
}

/** Removes the rows of a batch; where its metering is no longer told apart from others', that is made anew. */
export async function remove(store: Store, entry: LedgerEntry, now: Date): Promise<void> {
  await withRows(store, 'shared', () => removeRows(store, entry));
  if (await mayBeRolledUp(store, entry, now)) await repairMetering(store, now);
}
