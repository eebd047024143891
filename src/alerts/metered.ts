import { z } from 'zod';
import { type Store, sqlTime, uint64, utcTime } from '../store/store.ts';
import type { SilenceAlert } from './alerts.ts';
import type { MonthUsage } from './evaluate.ts';
import { type LastHeard, sendingMs } from './silence.ts';

/** What each tenant has used of each month from a first one on (its start), from the metering; of one tenant or of all. */
export async function monthUsage(
  store: Store,
  { since, tenantId = null }: { since: Date; tenantId?: string | null },
): Promise<MonthUsage[]> {
  return store.query(
    `SELECT tenant_id AS tenant, formatDateTime(hour, '%Y-%m') AS of_month, sum(event_count) AS events, sum(bytes_ingested) AS bytes
    FROM {{db}}.infrasage_usage_metering
    WHERE hour >= toDateTime64({since:String}, 3, 'UTC') ${tenantId === null ? '' : 'AND tenant_id = {tenant:String}'}
    GROUP BY tenant, of_month`,
    z
      .object({ tenant: z.string(), of_month: z.string(), events: uint64, bytes: uint64 })
      .transform((row) => ({
        tenantId: row.tenant,
        month: row.of_month,
        events: row.events,
        bytes: row.bytes,
      })),
    { since: sqlTime(since), tenant: tenantId ?? '' },
  );
}

/**
 * When the tenants and services that silence alerts are about were last heard,
 * of those that were within the time for which they count as sending.
 *
 * Whoever was heard too recently to be silent is known from the hours of the
 * metering or the projection, and gets the start of the hour; only for the
 * others, and for tenants that were silent, are their last rows looked at.
 */
export async function lastHeard(
  store: Store,
  { alerts, silent, now }: { alerts: readonly SilenceAlert[]; silent: ReadonlySet<string>; now: Date },
): Promise<LastHeard[]> {
  if (alerts.length === 0) return [];
  const services = [...new Set(alerts.map((alert) => alert.serviceId).filter((id) => id !== ''))];
  const since = new Date(now.getTime() - Math.max(...alerts.map(sendingMs)));
  const hours = [
    ...(alerts.some((alert) => alert.serviceId === '') ? await tenantHours(store, since) : []),
    ...(services.length > 0 ? await serviceHours(store, { services, since, now }) : []),
  ];
  const shortest = Math.min(...alerts.map((alert) => alert.silentSeconds)) * 1000;
  const isRecent = ({ tenantId, at }: LastHeard) =>
    now.getTime() - at.getTime() < shortest && !silent.has(tenantId);
  const recent = hours.filter(isRecent);
  const others = hours.filter((hour) => !isRecent(hour));
  return [
    ...recent,
    ...(await lastEvents(
      store,
      others.filter(({ serviceId }) => serviceId === ''),
    )),
    ...(await lastEvents(
      store,
      others.filter(({ serviceId }) => serviceId !== ''),
    )),
  ];
}

const HOUR_MS = 3_600_000;

const heardRow = z
  .object({ tenant: z.string(), service: z.string(), at: utcTime })
  .transform((row): LastHeard => ({ tenantId: row.tenant, serviceId: row.service, at: row.at }));

/** Of an event stamped ahead of the clock, the time at which it came counts. */
async function tenantHours(store: Store, since: Date): Promise<LastHeard[]> {
  return store.query(
    `SELECT tenant_id AS tenant, '' AS service, max(least(toDateTime64(hour, 3, 'UTC'), ingested_at)) AS at
    FROM {{db}}.infrasage_usage_metering
    WHERE hour >= toDateTime64({since:String}, 3, 'UTC')
    GROUP BY tenant`,
    heardRow,
    { since: sqlTime(since) },
  );
}

async function serviceHours(
  store: Store,
  { services, since, now }: { services: readonly string[]; since: Date; now: Date },
): Promise<LastHeard[]> {
  return store.query(
    `SELECT tenant_id AS tenant, service_id AS service, max(toStartOfHour(timestamp)) AS at
    FROM {{db}}.infrasage_raw_firehose
    WHERE service_id IN {services:Array(String)}
      AND toStartOfHour(timestamp) >= toDateTime64({since:String}, 3, 'UTC')
      AND toStartOfHour(timestamp) <= toDateTime64({now:String}, 3, 'UTC')
    GROUP BY tenant, service`,
    heardRow,
    { services, since: sqlTime(since), now: sqlTime(now) },
  );
}

/** The exact times, from the rows since the hour in which each was last heard; where these are gone, the end of it. */
async function lastEvents(store: Store, hours: readonly LastHeard[]): Promise<LastHeard[]> {
  const [first] = hours;
  if (!first) return [];
  const service = first.serviceId === '' ? `''` : 'service_id';
  const found = await store.query(
    `SELECT tenant_id AS tenant, ${service} AS service, max(least(timestamp, f.ingested_at)) AS at
    FROM {{db}}.infrasage_raw_firehose AS f
    WHERE tenant_id IN {tenants:Array(String)} ${first.serviceId === '' ? '' : 'AND service_id IN {services:Array(String)}'}
      AND toUnixTimestamp64Milli(timestamp) >= transform(concat(tenant_id, '\\0', ${service}), {names:Array(String)}, {times:Array(Int64)}, {never:Int64})
    GROUP BY tenant, service`,
    heardRow,
    {
      tenants: [...new Set(hours.map(({ tenantId }) => tenantId))],
      services: [...new Set(hours.map(({ serviceId }) => serviceId))],
      names: hours.map(({ tenantId, serviceId }) => `${tenantId}\0${serviceId}`),
      times: hours.map(({ at }) => at.getTime()),
      never: Number.MAX_SAFE_INTEGER,
    },
  );
  return hours.map((hour) => {
    const exact = found.find((row) => row.tenantId === hour.tenantId && row.serviceId === hour.serviceId);
    return exact ?? { ...hour, at: new Date(hour.at.getTime() + HOUR_MS) };
  });
}
