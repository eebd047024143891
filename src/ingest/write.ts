import { InfrasageError } from '../errors.ts';
import { batchId } from '../store/batch-id.ts';
import { withRows } from '../store/row-lock.ts';
import type { Store } from '../store/store.ts';
import type { Claim } from './claim.ts';
import { type LedgerEntry, recordCommit, recordIntent } from './ledger.ts';
import { type BatchTotals, countBatch, isWhole } from './stored-rows.ts';

/**
 * Begins an attempt at a batch that is spooled: when it returns, the intent is
 * durable. No later batch of the input may begin before that: once it is
 * committed, the chain must lead to it.
 * @param _claim that of its place; to be kept until the attempt is completed or has failed: a pending batch at a
 *   place that nobody claims is taken for one of a process that is gone
 * @throws InfrasageError (exit 3)
 */
export async function beginAttempt(
  store: Store,
  _claim: Claim,
  wanted: Omit<LedgerEntry, 'batchId'>,
  now: () => Date,
): Promise<LedgerEntry> {
  const entry: LedgerEntry = { ...wanted, batchId: batchId(wanted.key, wanted.attempt) };
  await recordIntent(store, entry, now());
  return entry;
}

/**
 * Writes the rows of an attempt from its spool file, counts them, and commits.
 * When it returns, the batch is committed and durable; when it throws, the
 * batch is pending, and recovery settles it.
 * @throws InfrasageError (exit 3)
 */
export async function completeAttempt(
  store: Store,
  entry: LedgerEntry,
  { path, now }: { path: string; now: () => Date },
): Promise<BatchTotals> {
  return withRows(store, 'shared', () => write(store, entry, { path, now }));
}

async function write(
  store: Store,
  entry: LedgerEntry,
  { path, now }: { path: string; now: () => Date },
): Promise<BatchTotals> {
  await store.writeBatch({ ...entry, path });
  const totals = await countBatch(store, entry);
  if (!isWhole(entry, totals)) {
    const { accepted, rejected, metered } = totals;
    throw new InfrasageError(
      `batch ${entry.batchId} of ${entry.source} is not whole: of ${entry.lines} lines, ${accepted} are in the firehose, ${metered} metered and ${rejected} in the dead letters`,
      { hint: 'it does not count; the next command removes its rows' },
    );
  }
  await recordCommit(store, entry, totals, now());
  return totals;
}
