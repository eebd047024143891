import type { UsageAlert } from '../alerts/alerts.ts';
import { endOf } from '../alerts/evaluate.ts';
import { usedPercent } from '../alerts/quotas.ts';
import { type LimitStatus, type Limits, readLimits } from '../alerts/status.ts';
import { groupBy } from '../group-by.ts';
import { isoTime, type Month } from '../period.ts';
import type { Store } from '../store/store.ts';
import { type TypeFigures, typeFigures } from './type-figures.ts';

export interface TypeUsage {
  event_type: string;
  events: bigint;
  bytes: bigint;
}

/** The month of one tenant. */
export interface TenantMonth {
  tenant_id: string;
  total_events: bigint;
  /** Compressed bytes as stored. */
  total_bytes: bigint;
  /** total_events in millions, rounded to two decimals as ClickHouse's round() does. */
  millions_of_events: number;
  by_type: TypeUsage[];
  /** null where no quota is set. */
  quota_events: bigint | null;
  /** Two decimals; null where no quota is set. */
  quota_used_percent: number | null;
  /** Of compressed bytes; null where none is set. */
  quota_bytes: bigint | null;
  /** The thresholds that apply to it, of events first. */
  thresholds: { threshold_percent: number; dimension: string; reached: boolean }[];
  /** Events at the end of the month at the pace so far; those counted where the month is over. */
  projected_events: bigint;
  /** Likewise compressed bytes. */
  projected_bytes: bigint;
}

export interface Billing {
  /** null: all tenants. */
  tenantId: string | null;
  month: Month;
  /** The time as of which it is told; null: as it is now. */
  asOf: Date | null;
  /** What it is made of. */
  figures: readonly TypeFigures[];
  /** By tenant, largest first. */
  tenants: TenantMonth[];
  total: Omit<
    TenantMonth,
    'tenant_id' | 'quota_events' | 'quota_used_percent' | 'quota_bytes' | 'thresholds'
  >;
  /** How each tenant's limits stand. */
  limits: LimitStatus[];
  thresholds: readonly UsageAlert[];
}

/**
 * A month's usage from the metering table, by tenant and type. A month that is over is held against the quotas and
 * thresholds that there were at its end.
 * @param wanted.asOf as it was at this time: figures, quotas, thresholds and projection
 * @throws InfrasageError (exit 3) where that is not known any more
 */
export async function billing(
  store: Store,
  {
    tenantId,
    month,
    now,
    asOf,
  }: { tenantId: string | null; month: Month; now: Date; asOf?: Date | undefined },
): Promise<Billing> {
  const figures = await typeFigures(store, { tenantId, period: month.period, asOf });
  const limits = await readLimits(store, endOf(month.period, asOf ?? now) ?? asOf);
  return billingOf(figures, limits, { tenantId, month, now, asOf });
}

/** The same of figures and limits that are known. */
export function billingOf(
  rows: readonly TypeFigures[],
  limits: Limits,
  {
    tenantId,
    month,
    now,
    asOf,
  }: { tenantId: string | null; month: Month; now: Date; asOf?: Date | undefined },
): Billing {
  const at = asOf ?? now;
  const rowsOf = groupBy(rows, ({ tenant }) => tenant);
  const names = [...new Set([...(tenantId === null ? [] : [tenantId]), ...rowsOf.keys()])];
  const tenants = names.map((name): TenantMonth => {
    const month_ = summarise(rowsOf.get(name) ?? [], month, at);
    const { events, bytes } = limits.quotaOf(name);
    return {
      tenant_id: name,
      ...month_,
      quota_events: events,
      quota_used_percent: events === null ? null : usedPercent(month_.total_events, events),
      quota_bytes: bytes,
      thresholds: limits
        .status(name, { events: month_.total_events, bytes: month_.total_bytes })
        .flatMap(({ dimension, thresholds }) =>
          thresholds.map(({ percent, reached }) => ({ threshold_percent: percent, dimension, reached })),
        ),
    };
  });
  tenants.sort((a, b) => (b.total_events > a.total_events ? 1 : b.total_events < a.total_events ? -1 : 0));
  return {
    thresholds: limits.thresholds,
    ...{ tenantId, month, asOf: asOf ?? null, figures: rows, tenants, total: summarise(rows, month, at) },
    limits: tenants.flatMap(({ tenant_id, total_events, total_bytes }) =>
      limits.status(tenant_id, { events: total_events, bytes: total_bytes }),
    ),
  };
}

function summarise(rows: readonly TypeFigures[], month: Month, now: Date) {
  const byType = new Map<string, TypeUsage>();
  for (const { type, events, bytesIngested } of rows) {
    const sum = byType.get(type) ?? { event_type: type, events: 0n, bytes: 0n };
    byType.set(type, { event_type: type, events: sum.events + events, bytes: sum.bytes + bytesIngested });
  }
  const by_type = [...byType.values()].sort((a, b) =>
    b.events > a.events ? 1 : b.events < a.events ? -1 : 0,
  );
  const total_events = by_type.reduce((sum, type) => sum + type.events, 0n);
  const total_bytes = by_type.reduce((sum, type) => sum + type.bytes, 0n);
  return {
    total_events,
    total_bytes,
    millions_of_events: millions(total_events),
    by_type,
    projected_events: project(total_events, month, now),
    projected_bytes: project(total_bytes, month, now),
  };
}

/** Linear: what the rest of the month brings at the pace of its time so far. */
export function project(amount: bigint, { period }: Month, now: Date): bigint {
  const whole = BigInt(period.end.getTime() - period.start.getTime());
  const elapsed = BigInt(Math.max(0, now.getTime() - period.start.getTime()));
  if (elapsed === 0n || elapsed >= whole) return amount;
  return (amount * whole) / elapsed;
}

/** Millions to two decimals; halves go to the even digit, as in ClickHouse. */
function millions(events: bigint): number {
  const hundredths = events / 10_000n;
  const rest = events % 10_000n;
  const up = rest > 5_000n || (rest === 5_000n && hundredths % 2n === 1n);
  return Number(hundredths + (up ? 1n : 0n)) / 100;
}

/** The documented JSON shape; with all tenants, by_tenant holds the month of each. */
export function billingJson({ tenantId, month, asOf, tenants, total }: Billing) {
  const [only] = tenants;
  const head = {
    tenant_id: tenantId,
    month: month.name,
    period: { start: isoTime(month.period.start), end: isoTime(month.period.end) },
    ...(asOf && { as_of: isoTime(asOf) }),
  };
  if (tenantId !== null && only) return { ...head, ...only };
  return { ...head, ...total, by_tenant: tenants };
}
