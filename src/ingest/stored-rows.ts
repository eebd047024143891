import { z } from 'zod';
import { type Store, sqlTime, uint64 } from '../store/store.ts';

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
  /** Accepted events by their month, like 2026-10. */
  months: Record<string, bigint>;
}

/** What the rows of a batch are found by. */
export interface RowsOf {
  batchId: string;
  /** ingested_at of all of them. */
  receivedAt: Date;
}

/** Counts the stored rows of a batch in the firehose, the metering and the dead letters. */
export async function countBatch(
  store: Store,
  { batchId, receivedAt }: RowsOf,
): Promise<BatchTotals & { metered: bigint }> {
  // One statement: planning costs more than what it reads.
  const rows = await store.query(
    `SELECT 'events' AS what, '' AS of, count() AS n, sum(f.bytes_received) AS received, sum(f.bytes_ingested) AS ingested
      FROM {{db}}.infrasage_raw_firehose AS f WHERE ${OF_BATCH}
    UNION ALL SELECT 'metered', formatDateTime(hour, '%Y-%m') AS month, sum(event_count), 0, 0
      FROM {{db}}.infrasage_usage_metering WHERE ${OF_BATCH} GROUP BY month
    UNION ALL SELECT 'letters', error, count(), 0, 0 FROM {{db}}.infrasage_dlq WHERE batch_id = {batch_id:String} GROUP BY error`,
    z.object({
      what: z.enum(['events', 'metered', 'letters']),
      of: z.string(),
      n: uint64,
      received: uint64,
      ingested: uint64,
    }),
    { batch_id: batchId, at: sqlTime(receivedAt) },
  );
  const events = rows.find(({ what }) => what === 'events');
  const letters = rows.filter(({ what }) => what === 'letters');
  const metered = rows.filter(({ what }) => what === 'metered');
  return {
    accepted: events?.n ?? 0n,
    rejected: sumOf(letters),
    bytesReceived: events?.received ?? 0n,
    bytesIngested: events?.ingested ?? 0n,
    errors: Object.fromEntries(letters.map(({ of, n }) => [of, n])),
    months: Object.fromEntries(metered.map(({ of, n }) => [of, n])),
    metered: sumOf(metered),
  };
}

function sumOf(rows: readonly { n: bigint }[]): bigint {
  return rows.reduce((sum, { n }) => sum + n, 0n);
}

/** Whether all three tables hold all of a batch. */
export function isWhole(
  { lines }: { lines: number },
  { accepted, rejected, metered }: Awaited<ReturnType<typeof countBatch>>,
): boolean {
  return accepted + rejected === BigInt(lines) && metered === accepted;
}

/** Whether any table holds anything of a batch. */
export function hasRows({ accepted, rejected, metered }: Awaited<ReturnType<typeof countBatch>>): boolean {
  return accepted + rejected + metered > 0n;
}

/**
 * Removes every row of a batch from the firehose, the metering and the dead
 * letters, and returns when they are gone. May be repeated.
 */
export async function removeRows(store: Store, { batchId, receivedAt }: RowsOf): Promise<void> {
  const params = { batch_id: batchId, at: sqlTime(receivedAt) };
  const remove = (table: string, rows: string) =>
    store.mutate(`ALTER TABLE {{db}}.${table} DELETE WHERE ${rows}`, params);
  await remove('infrasage_raw_firehose', OF_BATCH);
  await remove('infrasage_usage_metering', OF_BATCH);
  await remove('infrasage_dlq', 'batch_id = {batch_id:String}');
}

const OF_BATCH = `batch_id = {batch_id:String} AND ingested_at = toDateTime64({at:String}, 3, 'UTC')`;
