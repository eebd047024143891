import { z } from 'zod';
import type { Month } from '../period.ts';
import { type Store, sqlTime, uint64, utcTime } from '../store/store.ts';
import { applying, type UsageAlert } from './alerts.ts';
import { DIMENSIONS, type Dimension } from './evaluate.ts';
import type { Quotas } from './quotas.ts';

/** A threshold that a month's usage would have reached. */
export interface Crossing {
  tenantId: string;
  month: string;
  dimension: Dimension;
  percent: number;
  quota: bigint;
  /** The hour whose events reached it, its start. */
  hour: Date;
  /** Usage at the end of that hour. */
  used: bigint;
}

/**
 * Replays the metered months: which of these alerts would have fired, in which
 * hour, had today's quotas and these thresholds been there all along and had
 * every event come in the hour of its timestamp.
 */
export async function simulate(
  store: Store,
  {
    quotas,
    alerts,
    from,
    tenantId,
  }: {
    quotas: Quotas;
    alerts: readonly Pick<UsageAlert, 'tenantId' | 'percent'>[];
    from: Month;
    tenantId: string | null;
  },
): Promise<Crossing[]> {
  const percents = [...new Set(alerts.map(({ percent }) => percent))];
  if (percents.length === 0) return [];
  const found: Crossing[] = [];
  for (const dimension of DIMENSIONS) {
    if (quotas.all.every((quota) => quota[dimension] === null)) continue;
    const { tenants, limits, others } = quotas.limits(dimension);
    const crossings = await store.query(
      `SELECT tenant, of_month, quota, hundredths, min(hour) AS at, argMin(cumulative, hour) AS used
      FROM
      (
        SELECT tenant, of_month, hour, cumulative,
          transform(tenant, {tenants:Array(String)}, {limits:Array(UInt64)}, {others:UInt64}) AS quota
        FROM
        (
          SELECT tenant, of_month, hour, sum(amount) OVER (PARTITION BY tenant, of_month ORDER BY hour) AS cumulative
          FROM
          (
            SELECT toString(tenant_id) AS tenant, formatDateTime(hour, '%Y-%m') AS of_month, hour,
              sum(${dimension === 'events' ? 'event_count' : 'bytes_ingested'}) AS amount
            FROM {{db}}.infrasage_usage_metering
            WHERE hour >= toDateTime64({from:String}, 3, 'UTC') ${tenantId === null ? '' : 'AND tenant_id = {tenant:String}'}
            GROUP BY tenant, of_month, hour
          )
        )
      )
      ARRAY JOIN {hundredths:Array(UInt32)} AS hundredths
      WHERE quota > 0 AND toUInt256(cumulative) * 10000 >= toUInt256(quota) * hundredths
      GROUP BY tenant, of_month, quota, hundredths
      ORDER BY of_month, at, tenant, hundredths`,
      z.object({
        tenant: z.string(),
        of_month: z.string(),
        quota: uint64,
        hundredths: z.coerce.number(),
        at: utcTime,
        used: uint64,
      }),
      {
        from: sqlTime(from.period.start),
        tenant: tenantId ?? '',
        ...{ tenants, limits, others },
        hundredths: percents.map((percent) => Math.round(percent * 100)),
      },
    );
    for (const { tenant, of_month, quota, hundredths, at, used } of crossings) {
      const percent = hundredths / 100;
      if (!applying(alerts, tenant).some((alert) => alert.percent === percent)) continue;
      found.push({ tenantId: tenant, month: of_month, dimension, percent, quota, hour: at, used });
    }
  }
  return found;
}
