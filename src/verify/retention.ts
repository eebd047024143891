import { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import { type Reader, type Store, sqlTime, utcTime } from '../store/store.ts';

/** The tables with raw rows, and when each row was ingested. */
const RAW = [
  { table: 'infrasage_raw_firehose', column: 'ingested_at' },
  { table: 'infrasage_dlq', column: 'received_at' },
] as const;

/** Time by which a row may go earlier than it is said to be kept: the engine's merges and what reads it run at once. */
const MARGIN = 'INTERVAL 1 HOUR';

/**
 * Sets how long raw rows, events and dead letters, are kept after they were ingested; the engine removes them
 * as it merges. What is metered stays. By the time of ingest and not the event's own, so that no row of a batch
 * goes before the batch is committed, and all of them go by the same time.
 * @param seconds null keeps them for good
 * @throws InfrasageError (exit 3)
 */
export async function setRawRetention(store: Store, seconds: number | null, now: Date): Promise<void> {
  const terms = await Promise.all(RAW.map(({ table }) => termOf(store, table)));
  if (terms.every((term) => (term?.seconds ?? null) === seconds)) return;
  // Written down first: until the new term is in force, the old one goes on.
  await store.insert('infrasage_raw_terms', {
    changed_at: sqlTime(now),
    seconds: seconds ?? 0,
    gone_before: sqlTime(latest(terms.flatMap((term) => term?.since ?? [])) ?? new Date(0)),
  });
  for (const [i, { table, column }] of RAW.entries()) {
    if (seconds !== null) {
      await store.mutate(
        `ALTER TABLE {{db}}.${table} MODIFY TTL toDateTime(${column}) + toIntervalSecond(${seconds})`,
      );
    } else if (terms[i]) {
      await store.mutate(`ALTER TABLE {{db}}.${table} REMOVE TTL`);
    }
  }
}

/** How long raw rows are kept, in seconds; null for good. */
export async function rawRetention(store: Reader): Promise<number | null> {
  return (await termOf(store, RAW[0].table))?.seconds ?? null;
}

/**
 * The time since which every raw row that was ingested is there, and stays for the time being; null where no
 * raw row was ever removed by its age.
 * @throws InfrasageError (exit 3) where a table has a TTL of another kind
 */
export async function rawKeptSince(store: Store): Promise<Date | null> {
  const [past] = await store.query(
    'SELECT max(gone_before) AS since FROM {{db}}.infrasage_raw_terms',
    z.object({ since: utcTime }),
  );
  const terms = await Promise.all(RAW.map(({ table }) => termOf(store, table)));
  const since = latest([past?.since ?? new Date(0), ...terms.flatMap((term) => term?.since ?? [])]);
  return since && since.getTime() > 0 ? since : null;
}

/** The same, as a bound DateTime64 that nothing is before where rows are kept for good. */
export function keptSinceParam(since: Date | null): string {
  return sqlTime(since ?? new Date(0));
}

interface Term {
  seconds: number;
  since: Date;
}

/** How long a table keeps its rows, by the clock of the engine, which removes them. */
async function termOf(store: Reader, table: string): Promise<Term | undefined> {
  const [found] = await store.query(
    `SELECT extract(engine_full, ' TTL (.*?)(?: SETTINGS |$)') AS ttl,
      toUInt64OrZero(extract(ttl, '^toDateTime\\\\(\\\\w+\\\\) \\\\+ toIntervalSecond\\\\((\\\\d+)\\\\)$')) AS seconds,
      now64(3, 'UTC') + ${MARGIN} - toIntervalSecond(seconds) AS since
    FROM system.tables
    WHERE database = {database:String} AND name IN ({table:String}, {local:String}) AND engine LIKE '%MergeTree'`,
    z.object({ ttl: z.string(), seconds: z.coerce.number(), since: utcTime }),
    { database: store.database, table, local: `${table}_local` },
  );
  if (!found || found.ttl === '') return undefined;
  if (found.seconds > 0) return found;
  throw new InfrasageError(`${table} has a TTL of its own, by which it is not known which rows are there`, {
    hint: 'set the term of raw rows with infrasage init --raw-retention instead',
  });
}

function latest(times: readonly Date[]): Date | undefined {
  return times.reduce<Date | undefined>((last, time) => (last && last > time ? last : time), undefined);
}
