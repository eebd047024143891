import { z } from 'zod';
import { isoTime, type Period } from '../period.ts';
import { type Params, type Store, sqlTime, uint64 } from '../store/store.ts';

/** What usage can be broken down by, and the SQL of each. hour, day and month come in time order, the others largest first. */
export const GROUPINGS = ['event_type', 'service_id', 'tenant_id', 'hour', 'day', 'month'] as const;
export type Grouping = (typeof GROUPINGS)[number];

export interface UsageRow {
  /** Set where the report covers more than one tenant. */
  tenant_id?: string;
  /** What it is grouped by; times are RFC 3339, days 2026-11-24, months 2026-11. */
  key: string;
  events: bigint;
  /** Compressed bytes as stored. */
  bytes: bigint;
}

export interface Usage {
  /** null: all tenants. */
  tenantId: string | null;
  period: Period;
  groupBy: Grouping;
  rows: UsageRow[];
  totalEvents: bigint;
  totalBytes: bigint;
  /** Rows that a limit left out; they are in the totals. */
  omitted: number;
}

const TIME_GROUPINGS: readonly Grouping[] = ['hour', 'day', 'month'];

/** Expression of each grouping over the metering table. */
const METERED: Record<Exclude<Grouping, 'service_id'>, string> = {
  event_type: 'event_type',
  tenant_id: 'tenant_id',
  hour: `formatDateTime(hour, '%Y-%m-%dT%H:00:00Z')`,
  day: `formatDateTime(hour, '%Y-%m-%d')`,
  month: `formatDateTime(hour, '%Y-%m')`,
};

/**
 * Events and compressed bytes of a period, from the metering table; by service
 * from the firehose's projection, which holds the same hours.
 */
export async function usage(
  store: Store,
  {
    tenantId,
    period,
    groupBy,
    limit,
  }: { tenantId: string | null; period: Period; groupBy: Grouping; limit?: number },
): Promise<Usage> {
  const service = groupBy === 'service_id';
  const hour = service ? 'toStartOfHour(timestamp)' : 'hour';
  const params: Params = { start: sqlTime(period.start), end: sqlTime(period.end), tenant: tenantId ?? '' };
  const conditions = [
    `${hour} >= toDateTime64({start:String}, 3, 'UTC')`,
    ...(period.open ? [] : [`${hour} < toDateTime64({end:String}, 3, 'UTC')`]),
    ...(tenantId === null ? [] : ['tenant_id = {tenant:String}']),
  ];
  const rows = await store.query(
    `SELECT tenant_id AS tenant, ${service ? 'service_id' : METERED[groupBy]} AS key,
      ${service ? 'count()' : 'sum(event_count)'} AS events, sum(bytes_ingested) AS bytes
    FROM {{db}}.${service ? 'infrasage_raw_firehose' : 'infrasage_usage_metering'}
    WHERE ${conditions.join(' AND ')}
    GROUP BY tenant, key
    ORDER BY ${TIME_GROUPINGS.includes(groupBy) ? 'key, tenant' : 'events DESC, tenant, key'}`,
    z.object({ tenant: z.string(), key: z.string(), events: uint64, bytes: uint64 }),
    params,
  );
  const several =
    tenantId === null && groupBy !== 'tenant_id' && new Set(rows.map((row) => row.tenant)).size > 1;
  return {
    tenantId,
    period,
    groupBy,
    rows: rows.slice(0, limit).map(({ tenant, key, events, bytes }) => ({
      ...(several ? { tenant_id: tenant } : {}),
      key,
      events,
      bytes,
    })),
    totalEvents: rows.reduce((sum, row) => sum + row.events, 0n),
    totalBytes: rows.reduce((sum, row) => sum + row.bytes, 0n),
    omitted: limit === undefined ? 0 : Math.max(0, rows.length - limit),
  };
}

/** The documented JSON shape. */
export function usageJson({ tenantId, period, groupBy, rows, totalEvents, totalBytes }: Usage) {
  return {
    tenant_id: tenantId,
    period: { start: isoTime(period.start), end: isoTime(period.end) },
    group_by: groupBy,
    breakdown: rows.map((row) => usageCells(row, groupBy)),
    total_events: totalEvents,
    total_bytes: totalBytes,
  };
}

/** A row under the names it is printed with. */
export function usageCells({ tenant_id, key, events, bytes }: UsageRow, groupBy: Grouping) {
  return { ...(tenant_id === undefined ? {} : { tenant_id }), [groupBy]: key, events, bytes };
}
