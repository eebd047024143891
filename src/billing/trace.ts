import { z } from 'zod';
import type { Month } from '../period.ts';
import { withRows } from '../store/row-lock.ts';
import { type Params, type Store, sqlTime, uint64, utcTime } from '../store/store.ts';
import { rawKeptSince } from '../verify/retention.ts';

/** What a bill counts: events, compressed bytes as stored, bytes as sent. */
export const FIGURES = ['events', 'bytes_ingested', 'bytes_received'] as const;
export type Figure = (typeof FIGURES)[number];
export type Figures = Record<Figure, bigint>;

/** The stretches of time that figures are broken down into. */
export const SPANS = ['hour', 'day'] as const;
export type Span = (typeof SPANS)[number];

/** The order of a breakdown: the largest first, or as time goes. */
export const ORDERS = ['size', 'time'] as const;
export type Order = (typeof ORDERS)[number];

/** Rows, and the sum of those that a limit left out: together they are the whole. */
export interface Bounded<Row> {
  rows: Row[];
  /** null where nothing was left out. */
  omitted: (Figures & { rows: number }) | null;
}

/** What an hour or a day has of them. */
export interface TimeFigures extends Figures {
  start: Date;
}

/** What a batch has brought of them. */
export interface BatchFigures extends Figures {
  /** null for rows that others have written to the firehose: they have no batch. */
  batchId: string | null;
  /** The file, stream or sender that it was read from; null where the ledger does not know the batch. */
  source: string | null;
  receivedAt: Date | null;
}

/**
 * What no batch accounts for. removed: raw rows of it are past their retention, and nothing else says which batch they
 * were of; differs: nothing explains it, and `verify` says where it is. Negative where batches have more than is metered.
 */
export interface Unattributed extends Figures {
  reason: 'removed' | 'differs';
  /** Raw rows ingested before may be gone; null where none was ever removed. */
  keptSince: Date | null;
}

/** Where figures of a month come from. Types, times, and batches with what is unattributed each add up to the total. */
export interface Origin {
  total: Figures;
  /** Largest first. */
  types: (Figures & { type: string })[];
  times: Bounded<TimeFigures>;
  batches: Bounded<BatchFigures>;
  /** null where every event is in a batch, or there without one. */
  unattributed: Unattributed | null;
}

export interface TraceWanted {
  tenantId: string;
  month: Month;
  /** null for all. */
  types: readonly string[] | null;
  by: Span;
  order: Order;
  /** Whose largest come first. */
  figure: Figure;
  /** Rows of each breakdown at most. */
  limit: number;
}

/**
 * Traces figures of a tenant's month from the metering to the hours, and to the batches and sources they came with.
 * Where they do not meet, as while a batch is written, they are traced once more while batches wait.
 * @throws InfrasageError (exit 3)
 */
export async function traceFigures(store: Store, wanted: TraceWanted): Promise<Origin> {
  const found = await trace(store, wanted);
  return found.unattributed ? withRows(store, 'exclusive', () => trace(store, wanted)) : found;
}

async function trace(store: Store, wanted: TraceWanted): Promise<Origin> {
  const { by, order, figure, limit } = wanted;
  const metered = await meteredHours(store, wanted);
  const { rows, all } = await batchesOf(store, wanted);
  const total = sumOf(metered);
  const times = grouped(metered, ({ start }) => (by === 'day' ? start.slice(0, 10) : start)).map(
    ([start, figures]) => ({
      start: new Date(by === 'day' ? start : `${start.replace(' ', 'T')}Z`),
      ...figures,
    }),
  );
  if (order === 'size') times.sort(largestFirst(figure));
  const types = grouped(metered, ({ type }) => type).map(([type, figures]) => ({ type, ...figures }));
  return {
    total,
    types: types.sort(largestFirst(figure)),
    times: bounded(times.slice(0, limit), { ...total, rows: times.length }),
    batches: bounded(rows, all),
    unattributed: await unattributed(store, less(total, all), metered),
  };
}

const figureColumns = { events: uint64, bytes_ingested: uint64, bytes_received: uint64 };
const meteredHour = z.object({ start: z.string(), type: z.string(), since: utcTime, ...figureColumns });
type MeteredHour = z.infer<typeof meteredHour>;

function conditions({ types }: TraceWanted, time: string): string {
  return `tenant_id = {tenant:String}
    AND ${time} >= toDateTime64({start:String}, 3, 'UTC') AND ${time} < toDateTime64({end:String}, 3, 'UTC')
    ${types === null ? '' : 'AND event_type IN {types:Array(String)}'}`;
}

function params({ tenantId, month, types, limit }: TraceWanted): Params {
  const { start, end } = month.period;
  return { tenant: tenantId, start: sqlTime(start), end: sqlTime(end), types: types ?? [], rows: limit };
}

/** The figures of each hour and type, in time order; since: when the first of it was ingested. */
function meteredHours(store: Store, wanted: TraceWanted): Promise<MeteredHour[]> {
  return store.query(
    `SELECT toString(m.hour) AS start, toString(m.event_type) AS type, min(m.ingested_from) AS since,
      sum(m.event_count) AS events, sum(m.bytes_ingested) AS bytes_ingested, sum(m.bytes_received) AS bytes_received
    FROM {{db}}.infrasage_usage_metering AS m
    WHERE ${conditions(wanted, 'm.hour')}
    GROUP BY start, type ORDER BY start, type`,
    meteredHour,
    params(wanted),
  );
}

const batchRow = z.object({
  batch: z.string(),
  ...figureColumns,
  all_rows: z.coerce.number(),
  all_events: uint64,
  all_bytes_ingested: uint64,
  all_bytes_received: uint64,
});
const ledgerRow = z.object({ batch: z.string(), source: z.string(), received_at: utcTime });

/**
 * The batches, as many as are wanted, and what all of them have. The metering says what a batch has of an hour until
 * the hour is rolled up; from then on, and for rows without a batch, the firehose does, as long as it keeps them.
 */
async function batchesOf(
  store: Store,
  wanted: TraceWanted,
): Promise<{ rows: BatchFigures[]; all: Figures & { rows: number } }> {
  const found = await store.query(
    `SELECT *, count() OVER () AS all_rows, sum(events) OVER () AS all_events,
      sum(bytes_ingested) OVER () AS all_bytes_ingested, sum(bytes_received) OVER () AS all_bytes_received
    FROM
    (
      SELECT batch, max(at) AS received, sum(figures.1) AS events, sum(figures.2) AS bytes_ingested, sum(figures.3) AS bytes_received
      FROM
      (
        SELECT batch, start, type, max(ingested) AS at, argMax(figures, metered) AS figures
        FROM
        (
          SELECT toString(m.batch_id) AS batch, toString(m.hour) AS start, toString(m.event_type) AS type, max(m.ingested_at) AS ingested,
            1 AS metered, (sum(m.event_count), sum(m.bytes_ingested), sum(m.bytes_received)) AS figures
          FROM {{db}}.infrasage_usage_metering AS m
          WHERE m.batch_id != '' AND ${conditions(wanted, 'm.hour')}
          GROUP BY batch, start, type
          UNION ALL
          SELECT toString(f.batch_id) AS batch, toString(toStartOfHour(f.timestamp)) AS start, toString(f.event_type) AS type, max(f.ingested_at),
            0, (count(), sum(f.bytes_ingested), sum(f.bytes_received))
          FROM {{db}}.infrasage_raw_firehose AS f
          WHERE ${conditions(wanted, 'f.timestamp')}
          GROUP BY batch, start, type
        )
        GROUP BY batch, start, type
      )
      GROUP BY batch
    )
    ORDER BY ${wanted.order === 'time' ? '' : `${wanted.figure} DESC, `}received, batch
    LIMIT {rows:UInt64}`,
    batchRow,
    params(wanted),
  );
  const ledger = await ledgerOf(
    store,
    found.map(({ batch }) => batch),
  );
  const [first] = found;
  return {
    rows: found.map(({ batch, events, bytes_ingested, bytes_received }) => ({
      batchId: batch === '' ? null : batch,
      source: ledger.get(batch)?.source ?? null,
      receivedAt: ledger.get(batch)?.received_at ?? null,
      ...{ events, bytes_ingested, bytes_received },
    })),
    all: {
      rows: first?.all_rows ?? 0,
      events: first?.all_events ?? 0n,
      bytes_ingested: first?.all_bytes_ingested ?? 0n,
      bytes_received: first?.all_bytes_received ?? 0n,
    },
  };
}

async function ledgerOf(
  store: Store,
  ids: readonly string[],
): Promise<Map<string, z.infer<typeof ledgerRow>>> {
  const rows = await store.query(
    `SELECT b.batch_id AS batch, any(b.source) AS source, max(b.received_at) AS received_at
    FROM {{db}}.infrasage_ingest_batches AS b WHERE b.batch_id IN {ids:Array(String)} GROUP BY batch`,
    ledgerRow,
    { ids },
  );
  return new Map(rows.map((row) => [row.batch, row]));
}

async function unattributed(
  store: Store,
  rest: Figures,
  metered: readonly MeteredHour[],
): Promise<Unattributed | null> {
  if (FIGURES.every((name) => rest[name] === 0n)) return null;
  const keptSince = await rawKeptSince(store);
  const isOld = keptSince !== null && metered.some(({ since }) => since < keptSince);
  const isLess = FIGURES.every((name) => rest[name] >= 0n);
  return { ...rest, reason: isOld && isLess ? 'removed' : 'differs', keptSince };
}

function bounded<Row extends Figures>(rows: Row[], all: Figures & { rows: number }): Bounded<Row> {
  const omitted = { ...less(all, sumOf(rows)), rows: all.rows - rows.length };
  return { rows, omitted: omitted.rows === 0 ? null : omitted };
}

/** The sums of rows that share a key, by key in the order of the rows. */
function grouped(rows: readonly MeteredHour[], keyOf: (row: MeteredHour) => string): [string, Figures][] {
  const groups = new Map<string, MeteredHour[]>();
  for (const row of rows) {
    const key = keyOf(row);
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return [...groups].map(([key, group]) => [key, sumOf(group)]);
}

function sumOf(rows: readonly Figures[]): Figures {
  const sum = (name: Figure) => rows.reduce((total, row) => total + row[name], 0n);
  return {
    events: sum('events'),
    bytes_ingested: sum('bytes_ingested'),
    bytes_received: sum('bytes_received'),
  };
}

/** What a whole has more than a part. */
export function less(whole: Figures, part: Figures): Figures {
  return {
    events: whole.events - part.events,
    bytes_ingested: whole.bytes_ingested - part.bytes_ingested,
    bytes_received: whole.bytes_received - part.bytes_received,
  };
}

function largestFirst(figure: Figure): (a: Figures, b: Figures) => number {
  return (a, b) => (b[figure] > a[figure] ? 1 : b[figure] < a[figure] ? -1 : 0);
}
