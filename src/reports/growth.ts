import { z } from 'zod';
import { type Params, type Reader, uint64 } from '../store/store.ts';
import { rawRetention } from '../verify/retention.ts';
import { daysUntil, type Grower, sizeOf } from './projection.ts';
import type { Shard, TableSize } from './storage.ts';

const DAY_S = 86_400;

/** Tables that grow by what comes in; all others by what is set, which is no matter of time. */
const GROWING = [
  ...['infrasage_raw_firehose', 'infrasage_usage_metering', 'infrasage_dlq', 'infrasage_ingest_batches'],
];

/** The time that growth is taken from, unless another is asked for. */
export const GROWTH_WEEKS = 4;

/** How fast a database grows. */
export interface Growth {
  /** Bytes of the database on disk, of all its shards. */
  bytes: bigint;
  /** Time that the pace is taken from, days: the weeks asked for, or since the first events came, at least one. */
  days: number;
  /** Events that were ingested a day, of that time. */
  eventsPerDay: number;
  /** Bytes on disk that come in a day, before any go; null where no events came. */
  bytesPerDay: number | null;
  /** How long raw rows are kept, days; null for good. */
  termDays: number | null;
  /** Bytes of the database in so many days, with the term in force. */
  sizeIn(days: number): number;
  /** Whole days until one of the disks of a shard is full, or that of the data directory; at most a hundred years, null where nothing grows. */
  daysLeft(local: bigint): number | null;
  /** Whole days until all of it takes so many bytes; null as above. */
  daysUntil(limit: bigint): number | null;
}

/**
 * How fast a database grows: the events that were ingested in the last weeks, each taking what those that are stored
 * now take. By the time of ingest, as it is metered, so that what was brought later counts when it came.
 */
export async function growth(
  reader: Reader,
  shards: readonly Shard[],
  { now, weeks = GROWTH_WEEKS }: { now: Date; weeks?: number },
): Promise<Growth> {
  const nowS = Math.floor(now.getTime() / 1000);
  const since = nowS - weeks * 7 * DAY_S;
  const retention = await rawRetention(reader);
  const [metered] = await reader.query(
    `SELECT sum(m.event_count) AS events, sumIf(m.event_count, m.ingested_at >= toDateTime({since:UInt32})) AS recent,
      minIf(toUnixTimestamp(m.ingested_at), m.ingested_at >= toDateTime({since:UInt32})) AS first
    FROM {{db}}.infrasage_usage_metering AS m`,
    z.object({ events: uint64, recent: uint64, first: z.coerce.number() }),
    { since },
  );
  const [letters] = await reader.query(
    `SELECT countIf(received_at >= toDateTime({since:UInt32})) AS recent FROM {{db}}.infrasage_dlq`,
    z.object({ recent: uint64 }),
    { since },
  );
  const tables = allTables(shards);
  const bytes = tables.reduce((sum, table) => sum + table.bytes, 0n);
  const recent = Number(metered?.recent ?? 0n);
  const days = recent === 0 ? weeks * 7 : Math.max(1, (nowS - (metered?.first ?? nowS)) / DAY_S);
  const termDays = retention === null ? null : retention / DAY_S;
  const raw = new Map<string, Pick<Grower, 'unitsPerDay' | 'ages'>>();
  for (const { table, column, came } of [
    { table: 'infrasage_raw_firehose', column: 'ingested_at', came: recent },
    { table: 'infrasage_dlq', column: 'received_at', came: Number(letters?.recent ?? 0n) },
  ]) {
    const ages = termDays === null ? [] : await agesOf(reader, { table, column, nowS });
    raw.set(table, { unitsPerDay: came / days, ages });
  }
  const events = Number(metered?.events ?? 0n);
  const growerOf = ({ table, rows, bytes: size }: TableSize, whole: TableSize): Grower => {
    const of = raw.get(table);
    // A shard has its share of what comes.
    const share = whole.bytes === 0n ? 0 : Number(size) / Number(whole.bytes);
    const units = of ? Number(rows) : events * share;
    return {
      table,
      bytes: Number(size),
      unitsPerDay: GROWING.includes(table) ? (of?.unitsPerDay ?? recent / days) * share : 0,
      bytesPerUnit: units === 0 ? 0 : Number(size) / units,
      term: of ? termDays : null,
      ages: (of?.ages ?? []).map((count) => count * share),
    };
  };
  const growersOf = (some: readonly TableSize[]) =>
    some.map((one) => growerOf(one, tables.find(({ table }) => table === one.table) ?? one));
  const all = growersOf(tables);
  return {
    bytes,
    days,
    eventsPerDay: recent / days,
    bytesPerDay:
      recent === 0
        ? null
        : all.reduce((sum, { unitsPerDay, bytesPerUnit }) => sum + unitsPerDay * bytesPerUnit, 0),
    termDays,
    sizeIn: (ahead) => all.reduce((sum, grower) => sum + sizeOf(grower, ahead), 0),
    daysLeft: (local) =>
      shards
        .map((shard) => daysUntil(growersOf(shard.tables), Number(filled(shard)?.free ?? local)))
        .reduce((least, left) => (least === null || (left !== null && left < least) ? left : least), null),
    daysUntil: (limit) => daysUntil(all, Number(limit - bytes)),
  };
}

/** The tables of all shards, each as one. */
export function allTables(shards: readonly Shard[]): TableSize[] {
  const byName = new Map<string, TableSize>();
  for (const one of shards.flatMap(({ tables }) => tables)) {
    const sum = byName.get(one.table);
    byName.set(
      one.table,
      sum === undefined
        ? one
        : {
            table: one.table,
            rows: sum.rows + one.rows,
            bytes: sum.bytes + one.bytes,
            compressed: sum.compressed + one.compressed,
            uncompressed: sum.uncompressed + one.uncompressed,
            parts: sum.parts + one.parts,
          },
    );
  }
  return [...byName.values()];
}

/** The disk of a shard that its tables fill. */
function filled({ disks }: Shard) {
  return disks?.[0];
}

/** How many rows of a table came less than a day ago, less than two, and so on. */
async function agesOf(
  reader: Reader,
  { table, column, nowS }: { table: string; column: string; nowS: number },
): Promise<number[]> {
  const params: Params = { now: nowS };
  const found = await reader.query(
    `SELECT greatest(0, intDiv(toInt64({now:UInt32}) - toUnixTimestamp(${column}), ${DAY_S})) AS age, count() AS n
    FROM {{db}}.${table} GROUP BY age`,
    z.object({ age: z.coerce.number(), n: z.coerce.number() }),
    params,
  );
  const ages: number[] = [];
  for (const { age, n } of found) ages[age] = n;
  return Array.from(ages, (n) => n ?? 0);
}
