import { z } from 'zod';
import type { LineOptions, Store } from '../store/store.ts';
import { sqlTime, uint64 } from '../store/store.ts';
import type { Batch } from './batch.ts';

/** What the rows of a batch add up to. */
export interface BatchTotals {
  accepted: bigint;
  rejected: bigint;
  /** Bytes of accepted lines as sent. */
  bytesReceived: bigint;
  /** Compressed bytes, the accepted events' share of them. */
  bytesIngested: bigint;
  /** Rejected lines by error code. */
  errors: Record<string, bigint>;
}

/** A batch as the ledger knows it. */
export interface LedgerEntry {
  batchId: string;
  batch: Batch;
  attempt: number;
  source: string;
  owner: string;
  options: LineOptions;
  /** ingested_at of every row of the batch: finds them without a scan. */
  receivedAt: Date;
}

/** Writes the intent: durable before any row of the batch is. */
export async function recordIntent(store: Store, entry: LedgerEntry, now: Date): Promise<void> {
  await store.insert('infrasage_ingest_batches', {
    ...ledgerRow(entry),
    revision: 1,
    state: 'pending',
    recorded_at: sqlTime(now),
  });
}

/** Writes that all rows of the batch are stored. From here on it counts as ingested. */
export async function recordCommit(
  store: Store,
  entry: LedgerEntry,
  totals: BatchTotals,
  now: Date,
): Promise<void> {
  await store.insert('infrasage_ingest_batches', {
    ...ledgerRow(entry),
    revision: 2,
    state: 'committed',
    accepted: totals.accepted,
    rejected: totals.rejected,
    bytes_received: totals.bytesReceived,
    bytes_ingested: totals.bytesIngested,
    recorded_at: sqlTime(now),
  });
}

function ledgerRow({ batchId, batch, attempt, source, owner, options, receivedAt }: LedgerEntry) {
  return {
    batch_id: batchId,
    key: batch.key,
    previous_key: batch.previousKey,
    attempt,
    source,
    first_line: batch.firstLine,
    lines: batch.lines,
    bytes: batch.bytes,
    owner,
    options: JSON.stringify(options),
    received_at: sqlTime(receivedAt),
  };
}

/** Counts the stored rows of a batch in the firehose, the metering and the dead letters. */
export async function countBatch(
  store: Store,
  { batchId, receivedAt }: Pick<LedgerEntry, 'batchId' | 'receivedAt'>,
): Promise<BatchTotals & { metered: bigint }> {
  const params = { batch_id: batchId, at: sqlTime(receivedAt) };
  const ofBatch = `batch_id = {batch_id:String} AND ingested_at = toDateTime64({at:String}, 3, 'UTC')`;
  const [stored] = await store.query(
    `SELECT f.accepted AS accepted, f.received AS received, f.ingested AS ingested, m.metered AS metered
    FROM (SELECT count() AS accepted, sum(bytes_received) AS received, sum(bytes_ingested) AS ingested
      FROM {{db}}.infrasage_raw_firehose WHERE ${ofBatch}) AS f,
      (SELECT sum(event_count) AS metered FROM {{db}}.infrasage_usage_metering WHERE ${ofBatch}) AS m`,
    z.object({ accepted: uint64, received: uint64, ingested: uint64, metered: uint64 }),
    params,
  );
  const letters = await store.query(
    `SELECT error, count() AS lines FROM {{db}}.infrasage_dlq WHERE batch_id = {batch_id:String} GROUP BY error`,
    z.object({ error: z.string(), lines: uint64 }),
    params,
  );
  return {
    accepted: stored?.accepted ?? 0n,
    rejected: letters.reduce((sum, letter) => sum + letter.lines, 0n),
    bytesReceived: stored?.received ?? 0n,
    bytesIngested: stored?.ingested ?? 0n,
    errors: Object.fromEntries(letters.map((letter) => [letter.error, letter.lines])),
    metered: stored?.metered ?? 0n,
  };
}
