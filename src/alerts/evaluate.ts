import { createHash } from 'node:crypto';
import { type Month, monthOf, parseMonth } from '../period.ts';
import { applying, isInForce, type UsageAlert } from './alerts.ts';
import { type Quotas, usedPercent } from './quotas.ts';

/** What a quota can limit. */
export const DIMENSIONS = ['events', 'bytes'] as const;
export type Dimension = (typeof DIMENSIONS)[number];

/** What a tenant has used of a UTC month. */
export interface MonthUsage {
  tenantId: string;
  /** 2026-11 */
  month: string;
  events: bigint;
  /** Compressed bytes as stored. */
  bytes: bigint;
}

/** A threshold that a month's usage has reached. */
export interface UsageFiring {
  kind: 'usage';
  /** Made of tenant, threshold, month, dimension and level: the same crossing has the same id, whoever finds it. */
  id: string;
  tenantId: string;
  alert: UsageAlert;
  month: string;
  dimension: Dimension;
  /** Usage at which the threshold is reached. */
  level: bigint;
  used: bigint;
  quota: bigint;
}

/** What of an earlier firing decides whether its threshold may fire again. */
export interface FiredUsage {
  tenantId: string;
  percent: number;
  month: string;
  dimension: Dimension;
  /** The usage that it reported. */
  used: bigint;
}

/**
 * The thresholds that fire now. Pure: the same arguments give the same firings,
 * in the order of tenant, month, dimension and percent.
 *
 * A threshold of a tenant and month fires when usage reaches its level, and
 * not again unless its level has risen above all that its firings have
 * reported: so it fires once, and again only where the quota was raised.
 *
 * A month that is over is held against the quotas and alerts there were at its
 * end: events that come late may make it fire; a quota set today does not. A
 * month that has not begun fires nothing.
 */
export function evaluateUsage({
  quotas,
  alerts,
  usage,
  fired,
  now,
}: {
  quotas: Quotas;
  alerts: readonly UsageAlert[];
  usage: readonly MonthUsage[];
  fired: readonly FiredUsage[];
  now: Date;
}): UsageFiring[] {
  const reported = new Map<string, bigint>();
  for (const before of fired) {
    const key = keyOf(before);
    const most = reported.get(key) ?? 0n;
    if (before.used > most) reported.set(key, before.used);
  }
  const firings: UsageFiring[] = [];
  for (const of of usage) {
    const { period } = parseMonth(of.month, now);
    if (period.start > now) continue;
    const at = endOf(period, now);
    const quota = quotas.of(of.tenantId, at);
    const there = alerts.filter((alert) => isInForce(alert, at));
    for (const dimension of DIMENSIONS) {
      const limit = quota[dimension];
      if (limit === null) continue;
      for (const alert of applying(there, of.tenantId)) {
        const level = levelOf(limit, alert.percent);
        const used = of[dimension];
        const key = keyOf({ tenantId: of.tenantId, percent: alert.percent, month: of.month, dimension });
        if (used < level || (reported.get(key) ?? 0n) >= level) continue;
        firings.push({
          ...{ kind: 'usage', id: idOf(key, level), tenantId: of.tenantId, alert },
          ...{ month: of.month, dimension, level, used, quota: limit },
        });
      }
    }
  }
  return firings.sort(
    (a, b) =>
      order(a.tenantId, b.tenantId) ||
      order(a.month, b.month) ||
      DIMENSIONS.indexOf(a.dimension) - DIMENSIONS.indexOf(b.dimension) ||
      a.alert.percent - b.alert.percent,
  );
}

/** The time whose quotas and alerts a month is held against: its end, or where it is not over, now: undefined. */
export function endOf({ end }: Month['period'], now: Date): Date | undefined {
  return end <= now ? end : undefined;
}

/** Usage at which a share of a quota is reached: whole, so that no rounding makes it early. */
export function levelOf(quota: bigint, percent: number): bigint {
  const hundredths = BigInt(Math.round(percent * 100));
  return (quota * hundredths + 9_999n) / 10_000n;
}

/** Whether a month is over: what fires for it comes from late events. */
export function isOver(month: string, now: Date): boolean {
  return month < monthOf(now).name;
}

function keyOf({ tenantId, percent, month, dimension }: Omit<FiredUsage, 'used'>): string {
  return JSON.stringify([tenantId, percent, month, dimension]);
}

function idOf(key: string, level: bigint): string {
  return createHash('sha256').update(`${key} ${level}`).digest('hex').slice(0, 16);
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** How a month goes. */
export interface Pacing {
  /** Share of the quota, percent, cut to two decimals. */
  percent: number;
  /** Days until the month ends, begun ones included; 0 where it is over. */
  daysLeft: number;
  /** When the quota is used up at the pace so far; null where it is already, or will not be in this month. */
  fullAt: Date | null;
}

/** The pace of a month: linear, from its start to now. */
export function pacing({
  used,
  quota,
  month,
  now,
}: {
  used: bigint;
  quota: bigint;
  month: Month;
  now: Date;
}): Pacing {
  const { start, end } = month.period;
  const elapsed = BigInt(Math.max(1, Math.min(now.getTime(), end.getTime()) - start.getTime()));
  const full = used > 0n && used < quota ? start.getTime() + Number((elapsed * quota) / used) : Number.NaN;
  return {
    percent: usedPercent(used, quota),
    daysLeft: Math.max(0, Math.ceil((end.getTime() - now.getTime()) / 86_400_000)),
    fullAt: now < end && full < end.getTime() ? new Date(full) : null,
  };
}
