import { z } from 'zod';
import type { Period } from '../period.ts';
import { type Store, sqlTime, uint64 } from '../store/store.ts';

/** How long each step of a series is, and the SQL of its start. */
export const STEPS = ['hour', 'day'] as const;
export type Step = (typeof STEPS)[number];

/** How many milliseconds a step is long: days are UTC, so all are of one length. */
export const STEP_LENGTH: Record<Step, number> = { hour: 3_600_000, day: 86_400_000 };

/** As the keys of a breakdown by hour or day. */
const START: Record<Step, string> = {
  hour: `formatDateTime(hour, '%Y-%m-%dT%H:00:00Z')`,
  day: `formatDateTime(hour, '%Y-%m-%d')`,
};

/** What one step has of one type; steps and types without events have no point. */
export interface Point {
  /** Where the step starts: 2026-11-24T11:00:00Z, a day 2026-11-24. */
  time: string;
  event_type: string;
  events: bigint;
  /** Compressed bytes as stored. */
  bytes: bigint;
}

/**
 * The usage of a tenant, or of all together (null), over time by type, from the metering table, in the order of time
 * and type.
 */
export async function usageSeries(
  store: Store,
  { tenantId, period, step }: { tenantId: string | null; period: Period; step: Step },
): Promise<Point[]> {
  return store.query(
    `SELECT ${START[step]} AS time, event_type, sum(event_count) AS events, sum(bytes_ingested) AS bytes
    FROM {{db}}.infrasage_usage_metering
    WHERE hour >= toDateTime64({start:String}, 3, 'UTC')
      ${tenantId === null ? '' : 'AND tenant_id = {tenant:String}'}
      ${period.open ? '' : `AND hour < toDateTime64({end:String}, 3, 'UTC')`}
    GROUP BY time, event_type ORDER BY time, event_type`,
    z.object({ time: z.string(), event_type: z.string(), events: uint64, bytes: uint64 }),
    { tenant: tenantId ?? '', start: sqlTime(period.start), end: sqlTime(period.end) },
  );
}
