import { type Month, monthOf } from '../period.ts';
import { readCatalog } from '../plans/catalog.ts';
import {
  amountText,
  type Decimal,
  decimal,
  divideRounded,
  type InCurrency,
  sum,
  ZERO,
} from '../plans/money.ts';
import type { Plan } from '../plans/plan.ts';
import { rate, subtotal } from '../plans/rate.ts';
import type { Store } from '../store/store.ts';
import { monthFigures } from './figures.ts';
import { byTenant } from './invoice.ts';

/** What some months came to by the plans in force, and what they would have come to by another one. */
export interface Change {
  old: Decimal;
  new: Decimal;
  /** new - old, per cent of old, two decimals; null where nothing became something. */
  percent: Decimal | null;
}

export interface TenantChange extends Change {
  tenant: string;
  /** How many months were compared. */
  months: number;
}

/** A range of changes, per cent: from < change <= to above nothing, from <= change < to below; both 0: unchanged. */
export interface Bucket {
  from: number | null;
  to: number | null;
  tenants: number;
}

export interface Backtest extends InCurrency {
  plan: string;
  /** Oldest first. */
  months: readonly Month[];
  /** By their tenant, the largest change of the amount first. */
  tenants: readonly TenantChange[];
  total: Change;
  /** Of the tenants' percentages; the nearest rank. null where there are none. */
  quantiles: Record<'min' | 'p10' | 'p25' | 'median' | 'p75' | 'p90' | 'max', Decimal> | null;
  buckets: readonly Bucket[];
  /** Months of tenants that are not compared, since they have no plan, or one in another currency. */
  skipped: { noPlan: number; otherCurrency: number };
}

/**
 * Bills the last whole months once more by another plan, tenant by tenant. The figures are those of today.
 * @param wanted.months how many
 * @throws InfrasageError (exit 3) where the figures cannot be read
 */
export async function backtest(
  store: Store,
  { tenantId, plan, months, now }: { tenantId: string | null; plan: Plan; months: number; now: Date },
): Promise<Backtest> {
  const catalog = await readCatalog(store);
  const span = monthsBefore(now, months);
  const skipped = { noPlan: 0, otherCurrency: 0 };
  const compared = new Map<string, { old: Decimal; new: Decimal }[]>();
  for (const month of span) {
    const figures = await monthFigures(store, { tenantId, month });
    const own = catalog.tenantsWithOwn(month).filter((tenant) => tenantId === null || tenant === tenantId);
    for (const [tenant, theirs] of byTenant(figures, own)) {
      const inForce = await catalog.planOf(tenant, month);
      if (!inForce) skipped.noPlan += 1;
      else if (inForce.plan.currency !== plan.currency) skipped.otherCurrency += 1;
      else {
        const pair = { old: subtotal(rate(inForce.plan, theirs)), new: subtotal(rate(plan, theirs)) };
        compared.set(tenant, [...(compared.get(tenant) ?? []), pair]);
      }
    }
  }
  const tenants = [...compared].map(([tenant, pairs]): TenantChange => {
    return { tenant, months: pairs.length, ...changeOf(pairs) };
  });
  const size = (change: Change) => change.new.minus(change.old).abs();
  tenants.sort((a, b) => size(b).cmp(size(a)) || (a.tenant < b.tenant ? -1 : 1));
  return {
    ...{ plan: plan.name, currency: plan.currency, digits: plan.digits, months: span, tenants },
    ...{ total: changeOf(tenants), skipped },
    quantiles: quantilesOf(tenants),
    buckets: bucketsOf(tenants),
  };
}

/** Whether an amount changes by more than so many per cent, up or down. */
export function isOver({ old, new: wanted }: Change, percent: Decimal): boolean {
  return wanted.minus(old).abs().times(decimal('100')).gt(percent.times(old));
}

/** The whole months before the one that now is in, oldest first. */
function monthsBefore(now: Date, count: number): Month[] {
  const months: Month[] = [];
  let start = monthOf(now).period.start;
  for (let i = 0; i < count; i += 1) {
    const month = monthOf(new Date(start.getTime() - 1));
    months.unshift(month);
    start = month.period.start;
  }
  return months;
}

function changeOf(pairs: readonly { old: Decimal; new: Decimal }[]): Change {
  const old = sum(pairs.map((pair) => pair.old));
  const wanted = sum(pairs.map((pair) => pair.new));
  return { old, new: wanted, percent: percentOf(old, wanted) };
}

function percentOf(old: Decimal, wanted: Decimal): Decimal | null {
  if (old.eq(wanted)) return ZERO;
  if (old.eq(ZERO)) return null;
  // Amounts have at most a few decimals: scaled to whole numbers, the quotient is rounded once.
  const scale = decimal('10000');
  return divideRounded(
    wanted.minus(old).times(decimal('100')).times(scale),
    BigInt(old.times(scale).toFixed(0)),
    2,
  );
}

function quantilesOf(changes: readonly Change[]): Backtest['quantiles'] {
  const sorted = changes.flatMap(({ percent }) => percent ?? []).sort((a, b) => a.cmp(b));
  if (sorted.length === 0) return null;
  const rank = (percent: number) =>
    sorted[Math.max(0, Math.ceil((percent * sorted.length) / 100) - 1)] ?? ZERO;
  return {
    ...{ min: rank(0), p10: rank(10), p25: rank(25), median: rank(50), p75: rank(75), p90: rank(90) },
    max: rank(100),
  };
}

const EDGES = [5, 10, 20, 50];

function bucketsOf(changes: readonly Change[]): Bucket[] {
  const up = [0, ...EDGES].map((from, i) => ({ from, to: EDGES[i] ?? null }));
  const down = up.toReversed().map(({ from, to }) => ({ from: to && -to, to: from && -from }));
  const ranges = [...down, { from: 0, to: 0 }, ...up];
  return ranges.map((range) => ({
    ...range,
    tenants: changes.filter(({ percent }) => percent && isWithin(Number(percent.toFixed()), range)).length,
  }));
}

function isWithin(percent: number, { from, to }: Pick<Bucket, 'from' | 'to'>): boolean {
  if (from === 0 && to === 0) return percent === 0;
  const below = to !== null && to <= 0;
  if (below) return percent < to && (from === null || percent >= from);
  return from !== null && percent > from && (to === null || percent <= to);
}

/** The JSON shape; amounts and percentages are texts, exact. */
export function backtestJson(found: Backtest, maxChange: Decimal | undefined) {
  const { plan, currency, months, tenants, total, quantiles, buckets, skipped } = found;
  const percent = (value: Decimal | null) => (value === null ? null : value.toFixed(2));
  const change = ({ old, new: wanted, percent: relative }: Change) => ({
    old: amountText(old, found),
    new: amountText(wanted, found),
    difference: amountText(wanted.minus(old), found),
    change_percent: percent(relative),
  });
  return {
    ...{ plan, currency, months: months.map(({ name }) => name) },
    tenants: tenants.map((one) => ({ tenant_id: one.tenant, months: one.months, ...change(one) })),
    total: change(total),
    quantiles:
      quantiles &&
      Object.fromEntries(Object.entries(quantiles).map(([name, value]) => [name, percent(value)])),
    buckets: buckets.map(({ from, to, tenants: count }) => ({
      from_percent: from,
      to_percent: to,
      tenants: count,
    })),
    skipped: { no_plan: skipped.noPlan, other_currency: skipped.otherCurrency },
    max_change_percent: maxChange?.toFixed() ?? null,
    over: maxChange ? tenants.filter((one) => isOver(one, maxChange)).map(({ tenant }) => tenant) : [],
  };
}
