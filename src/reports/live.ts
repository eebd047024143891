import { z } from 'zod';
import { type LimitStatus, monthLimits, readLimits } from '../alerts/status.ts';
import { type Store, sqlTime, uint64 } from '../store/store.ts';

/** Rates are of what was stored in the last so many seconds. */
export const WINDOW_SECONDS = 60;
/** The course of the rate within them is given in steps of so many seconds. */
const STEP_SECONDS = 5;
/** Rows of each breakdown at most, limits at most. */
export const MOST_ROWS = 100;

/** What the rows of a breakdown are sorted by. */
export const ORDERS = ['events', 'bytes', 'name'] as const;
export type Order = (typeof ORDERS)[number];

/** What was stored of something within the window. */
export interface Rate {
  /** Set for services, where all tenants are looked at. */
  tenant_id?: string;
  name: string;
  events: bigint;
  /** Bytes as sent. */
  bytes: bigint;
}

/** What is going on, from the stored rows. */
export interface Live {
  at: Date;
  /** null: all tenants. */
  tenantId: string | null;
  /** Of all tenants, also those that are not among the rows. */
  events: bigint;
  bytes: bigint;
  /** Events of each step of the window, oldest first; the last one is still open. */
  course: bigint[];
  tenants: Rate[];
  types: Rate[];
  services: Rate[];
  /** Rejected lines by error code, within the window and in the last 24 hours. */
  letters: { error: string; lines: bigint; linesOfDay: bigint }[];
  /** The limits of the current month, fullest first. */
  limits: LimitStatus[];
  /** How many limits there are. */
  limitsInAll: number;
}

const ORDER_BY: Record<Order, string> = {
  events: 'events DESC, bytes DESC, name',
  bytes: 'bytes DESC, events DESC, name',
  name: 'name',
};

const rateRow = z.object({ tenant: z.string(), name: z.string(), events: uint64, bytes: uint64 });

/**
 * The rates of what was stored lately, by tenant, type and service, the dead letters and the limits. What counts is
 * when an event was stored, not its own time. Reads little: the rows of the window are found by an index.
 */
export async function live(
  store: Store,
  { tenantId, now, order }: { tenantId: string | null; now: Date; order: Order },
): Promise<Live> {
  const since = new Date(now.getTime() - WINDOW_SECONDS * 1000);
  const ofTenant = tenantId === null ? '' : 'AND tenant_id = {tenant:String}';
  const stored = `ingested_at > toDateTime64({since:String}, 3, 'UTC') ${ofTenant}`;
  const params = { since: sqlTime(since), tenant: tenantId ?? '', rows: MOST_ROWS };
  const metered = (column: 'tenant_id' | 'event_type') =>
    store.query(
      `SELECT '' AS tenant, m.${column} AS name, sum(m.event_count) AS events, sum(m.bytes_received) AS bytes
      FROM {{db}}.infrasage_usage_metering AS m WHERE ${stored}
      GROUP BY name ORDER BY ${ORDER_BY[order]} LIMIT {rows:UInt64}`,
      rateRow,
      params,
    );
  const course = await store.query(
    `SELECT intDiv(dateDiff('second', toDateTime64({since:String}, 3, 'UTC'), m.ingested_at), ${STEP_SECONDS}) AS step,
      sum(m.event_count) AS events, sum(m.bytes_received) AS bytes
    FROM {{db}}.infrasage_usage_metering AS m WHERE ${stored} GROUP BY step`,
    z.object({ step: z.coerce.number(), events: uint64, bytes: uint64 }),
    params,
  );
  const tenants = await metered('tenant_id');
  const types = await metered('event_type');
  const services = await store.query(
    `SELECT f.tenant_id AS tenant, f.service_id AS name, count() AS events, sum(f.bytes_received) AS bytes
    FROM {{db}}.infrasage_raw_firehose AS f WHERE ${stored}
    GROUP BY tenant, name ORDER BY ${ORDER_BY[order]}, tenant LIMIT {rows:UInt64}`,
    rateRow,
    params,
  );
  const letters = await store.query(
    `SELECT error, countIf(received_at > toDateTime64({since:String}, 3, 'UTC')) AS lines, count() AS lines_of_day
    FROM {{db}}.infrasage_dlq
    WHERE received_at > toDateTime64({day:String}, 3, 'UTC') ${ofTenant}
    GROUP BY error ORDER BY lines DESC, lines_of_day DESC, error`,
    z
      .object({ error: z.string(), lines: uint64, lines_of_day: uint64 })
      .transform(({ error, lines, lines_of_day }) => ({ error, lines, linesOfDay: lines_of_day })),
    { ...params, day: sqlTime(new Date(now.getTime() - 86_400_000)) },
  );
  const limits = await monthLimits(store, { tenantId, now }, await readLimits(store));
  const steps = WINDOW_SECONDS / STEP_SECONDS;
  const rates = (rows: readonly z.infer<typeof rateRow>[]): Rate[] =>
    rows.map(({ tenant, ...rate }) => ({
      ...(tenant !== '' && tenantId === null && { tenant_id: tenant }),
      ...rate,
    }));
  return {
    at: now,
    tenantId,
    events: course.reduce((sum, { events }) => sum + events, 0n),
    bytes: course.reduce((sum, { bytes }) => sum + bytes, 0n),
    course: Array.from({ length: steps }, (_, i) =>
      course
        // What was stored since the clock was looked at belongs to the last step.
        .filter(({ step }) => Math.min(Math.max(step, 0), steps - 1) === i)
        .reduce((sum, { events }) => sum + events, 0n),
    ),
    tenants: rates(tenants),
    types: rates(types),
    services: rates(services),
    letters,
    limits: limits.slice(0, MOST_ROWS),
    limitsInAll: limits.length,
  };
}

/** The JSON shape; rates are given as what was stored within the window. */
export function liveJson({ at, tenantId, events, bytes, course, letters, limits, limitsInAll, ...by }: Live) {
  return {
    at: at.toISOString(),
    window_seconds: WINDOW_SECONDS,
    tenant_id: tenantId,
    events,
    bytes_received: bytes,
    course,
    by_tenant: by.tenants.map(({ name, ...rate }) => rateJson('tenant_id', name, rate)),
    by_type: by.types.map(({ name, ...rate }) => rateJson('event_type', name, rate)),
    by_service: by.services.map(({ name, ...rate }) => rateJson('service_id', name, rate)),
    dead_letters: letters.map(({ error, lines, linesOfDay }) => ({ error, lines, lines_24h: linesOfDay })),
    quotas: limits.map(({ tenantId: tenant, dimension, used, quota, thresholds }) => ({
      tenant_id: tenant,
      dimension,
      used,
      quota,
      thresholds: thresholds.map(({ percent, level, reached }) => ({
        threshold_percent: percent,
        level,
        reached,
      })),
    })),
    quotas_in_all: limitsInAll,
  };
}

function rateJson(
  key: 'tenant_id' | 'event_type' | 'service_id',
  name: string,
  { tenant_id, events, bytes }: Omit<Rate, 'name'>,
) {
  return {
    ...(tenant_id !== undefined && { tenant_id }),
    [key]: name,
    events,
    events_per_second: perSecond(events),
    bytes_received: bytes,
    bytes_per_second: perSecond(bytes),
  };
}

/** A rate with two decimals. */
export function perSecond(amount: bigint): number {
  return Math.round((Number(amount) * 100) / WINDOW_SECONDS) / 100;
}

const amount = z.union([z.number().int(), z.bigint()]).transform(BigInt);
const rateOf = (key: 'tenant_id' | 'event_type' | 'service_id') =>
  z
    .object({
      tenant_id: z.string().optional(),
      event_type: z.string().optional(),
      service_id: z.string().optional(),
      events: amount,
      bytes_received: amount,
    })
    .transform(
      ({ events, bytes_received, tenant_id, ...names }): Rate => ({
        ...(key !== 'tenant_id' && tenant_id !== undefined && { tenant_id }),
        name: { ...names, tenant_id }[key] ?? '',
        events,
        bytes: bytes_received,
      }),
    );

/** Reads liveJson back, where another process has made it. */
export const liveFromJson: z.ZodType<Live> = z
  .object({
    at: z.string().transform((text) => new Date(text)),
    tenant_id: z.string().nullable(),
    events: amount,
    bytes_received: amount,
    course: z.array(amount),
    by_tenant: z.array(rateOf('tenant_id')),
    by_type: z.array(rateOf('event_type')),
    by_service: z.array(rateOf('service_id')),
    dead_letters: z.array(z.object({ error: z.string(), lines: amount, lines_24h: amount })),
    quotas: z.array(
      z.object({
        tenant_id: z.string(),
        dimension: z.enum(['events', 'bytes']),
        used: amount,
        quota: amount,
        thresholds: z.array(z.object({ threshold_percent: z.number(), level: amount, reached: z.boolean() })),
      }),
    ),
    quotas_in_all: z.number(),
  })
  .transform(
    (read): Live => ({
      at: read.at,
      tenantId: read.tenant_id,
      events: read.events,
      bytes: read.bytes_received,
      course: read.course,
      tenants: read.by_tenant,
      types: read.by_type,
      services: read.by_service,
      letters: read.dead_letters.map(({ error, lines, lines_24h }) => ({
        error,
        lines,
        linesOfDay: lines_24h,
      })),
      limits: read.quotas.map(({ tenant_id, dimension, used, quota, thresholds }) => ({
        tenantId: tenant_id,
        dimension,
        used,
        quota,
        thresholds: thresholds.map(({ threshold_percent, level, reached }) => ({
          percent: threshold_percent,
          level,
          reached,
        })),
      })),
      limitsInAll: read.quotas_in_all,
    }),
  );
