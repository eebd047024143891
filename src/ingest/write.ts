import { InfrasageError } from '../errors.ts';
import { batchId } from '../store/batch-id.ts';
import type { Store } from '../store/store.ts';
import {
  type BatchTotals,
  countBatch,
  isWhole,
  type LedgerEntry,
  recordCommit,
  recordIntent,
} from './ledger.ts';

/**
 * Writes one attempt at a batch from its spool file: intent, rows, count,
 * commit. When it returns, the batch is committed and durable; when it throws,
 * the batch is pending, and recovery settles it.
 * @throws InfrasageError (exit 3)
 */
export async function writeAttempt(
  store: Store,
  wanted: Omit<LedgerEntry, 'batchId'>,
  { path, now, afterIntent }: { path: string; now: () => Date; afterIntent?: () => Promise<void> },
): Promise<BatchTotals> {
  const entry: LedgerEntry = { ...wanted, batchId: batchId(wanted.key, wanted.attempt) };
  await recordIntent(store, entry, now());
  await afterIntent?.();
  await store.writeBatch({ ...entry, path });
  const totals = await countBatch(store, entry);
  if (!isWhole(entry, totals)) {
    const { accepted, rejected, metered } = totals;
    throw new InfrasageError(
      `batch ${entry.batchId} of ${entry.source} is not whole: of ${entry.lines} lines, ${accepted} are in the firehose, ${metered} metered and ${rejected} in the dead letters`,
      { hint: 'it does not count; the next ingest removes its rows and takes its input again' },
    );
  }
  await recordCommit(store, entry, totals, now());
  return totals;
}
