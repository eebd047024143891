import { monthOf } from '../period.ts';
import type { Store } from '../store/store.ts';
import { applying, isInForce, listAlerts, type UsageAlert } from './alerts.ts';
import { DIMENSIONS, type Dimension, levelOf } from './evaluate.ts';
import { monthUsage } from './metered.ts';
import { type Quota, readQuotas } from './quotas.ts';

/** How one of a tenant's limits stands against its thresholds. */
export interface LimitStatus {
  tenantId: string;
  dimension: Dimension;
  used: bigint;
  quota: bigint;
  thresholds: { percent: number; level: bigint; reached: boolean }[];
}

/** What usage of a month is held against. */
export interface Limits {
  quotaOf(tenantId: string): Quota;
  /** The percentages of its thresholds. */
  percentsOf(tenantId: string): number[];
  /** How each limit of a tenant stands; nothing where there is none. */
  status(tenantId: string, used: { events: bigint; bytes: bigint }): LimitStatus[];
  /** All thresholds of that time. */
  thresholds: readonly UsageAlert[];
}

/** The quotas and thresholds in force; at a time in the past, those that were then. */
export async function readLimits(store: Store, at?: Date): Promise<Limits> {
  const quotas = await readQuotas(store);
  const alerts = (await listAlerts(store, null, { removed: at !== undefined })).filter(
    (alert): alert is UsageAlert => alert.kind === 'usage' && isInForce(alert, at),
  );
  const percentsOf = (tenantId: string) => applying(alerts, tenantId).map(({ percent }) => percent);
  return {
    thresholds: alerts,
    percentsOf,
    quotaOf: (tenantId) => quotas.of(tenantId, at),
    status: (tenantId, used) =>
      limitStatus(tenantId, used, {
        quota: quotas.of(tenantId, at),
        percents: percentsOf(tenantId),
      }),
  };
}

/** How each limit of a tenant stands against thresholds of so many percent; nothing where there is none. */
export function limitStatus(
  tenantId: string,
  used: { events: bigint; bytes: bigint },
  { quota: limits, percents }: { quota: Quota; percents: readonly number[] },
): LimitStatus[] {
  return DIMENSIONS.flatMap((dimension): LimitStatus[] => {
    const quota = limits[dimension];
    if (quota === null) return [];
    const thresholds = percents.map((percent) => {
      const level = levelOf(quota, percent);
      return { percent, level, reached: used[dimension] >= level };
    });
    return [{ tenantId, dimension, used: used[dimension], quota, thresholds }];
  });
}

/** How the limits of the current month stand, of one tenant or of all, fullest first; and the thresholds there are. */
export async function currentLimits(
  store: Store,
  { tenantId, now }: { tenantId: string | null; now: Date },
): Promise<{ limits: LimitStatus[]; thresholds: readonly UsageAlert[] }> {
  const limits = await readLimits(store);
  const { thresholds } = limits;
  if (thresholds.length === 0) return { limits: [], thresholds };
  const found = await monthLimits(store, { tenantId, now }, limits);
  // Who has sent nothing in this month has its quota all the same.
  const none = found.length === 0 && tenantId !== null;
  return { limits: none ? limits.status(tenantId, { events: 0n, bytes: 0n }) : found, thresholds };
}

/** How the limits of the month that now is in stand, of one tenant or of all, fullest first. */
export async function monthLimits(
  store: Store,
  { tenantId, now }: { tenantId: string | null; now: Date },
  { status }: Limits,
): Promise<LimitStatus[]> {
  const month = monthOf(now);
  const usage = await monthUsage(store, { since: month.period.start, tenantId });
  const limits = usage.filter((of) => of.month === month.name).flatMap((of) => status(of.tenantId, of));
  return limits.sort((a, b) => share(b) - share(a));
}

function share({ used, quota }: LimitStatus): number {
  return Number(used) / Number(quota);
}
