import { z } from 'zod';
import { type Reader, uint64 } from '../store/store.ts';
import { rawRetention } from '../verify/retention.ts';
import { tableSizes } from './storage.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** The time that growth is taken from. */
const WINDOW_DAYS = 28;

/** How much of the disk the events of a day take. */
export interface Growth {
  /** Bytes of the database on disk, of the server that is asked. */
  bytes: bigint;
  /** Events a day, of the last four weeks or as long as there are any. */
  eventsPerDay: number;
  /** Bytes on disk a day, of the server that is asked; null where that cannot be told: nothing came, or old rows go as new ones come. */
  bytesPerDay: number | null;
}

/**
 * How fast a database grows: the events that were metered for the last weeks, each taking the share of the disk that
 * those stored now take.
 */
export async function growth(reader: Reader, now: Date): Promise<Growth> {
  const [sizes, retention, [firehose], [recent]] = [
    await tableSizes(reader),
    await rawRetention(reader),
    // On a cluster of all nodes, as the metering: this server has its share of both.
    await reader.query(
      'SELECT count() AS stored FROM {{db}}.infrasage_raw_firehose',
      z.object({ stored: uint64 }),
    ),
    await reader.query(
      `SELECT sum(m.event_count) AS events, toUnixTimestamp(min(m.hour)) AS first
      FROM {{db}}.infrasage_usage_metering AS m
      WHERE m.hour >= toDateTime({since:UInt32}) AND m.hour <= toDateTime({now:UInt32})`,
      z.object({ events: uint64, first: z.coerce.number() }),
      { since: seconds(now) - WINDOW_DAYS * 86_400, now: seconds(now) },
    ),
  ];
  const bytes = sizes.reduce((sum, table) => sum + table.bytes, 0n);
  const stored = firehose?.stored ?? 0n;
  const events = recent?.events ?? 0n;
  if (events === 0n || stored === 0n) return { bytes, eventsPerDay: 0, bytesPerDay: null };
  const since = now.getTime() - (recent?.first ?? 0) * 1000;
  const days = Math.max(1, since / DAY_MS);
  const eventsPerDay = Number(events) / days;
  // With rows of the whole term there, as much goes as comes.
  const isLevel = retention !== null && since >= retention * 1000;
  return {
    bytes,
    eventsPerDay,
    bytesPerDay: isLevel ? null : (eventsPerDay * Number(bytes)) / Number(stored),
  };
}

function seconds(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}
