import { z } from 'zod';
import type { Period } from '../period.ts';
import { type Store, uint64 } from '../store/store.ts';
import { metered } from './as-of.ts';
import { inScope, scopeParams } from './scope.ts';

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
 * @param wanted.asOf as it was at this time
 * @throws InfrasageError (exit 3) where that is not known any more
 */
export function usageSeries(
  store: Store,
  wanted: { tenantId: string | null; period: Period; step: Step; asOf?: Date | undefined },
): Promise<Point[]> {
  return metered(store, wanted, ({ from, params }) =>
    store.query(
      `SELECT ${START[wanted.step]} AS time, event_type, sum(event_count) AS events, sum(bytes_ingested) AS bytes
      FROM ${from}
      WHERE ${inScope(wanted)}
      GROUP BY time, event_type ORDER BY time, event_type`,
      z.object({ time: z.string(), event_type: z.string(), events: uint64, bytes: uint64 }),
      { ...params, ...scopeParams(wanted) },
    ),
  );
}
