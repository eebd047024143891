import { type InfrasageError, usageError } from '../errors.ts';
import { groupBy } from '../group-by.ts';
import { isoTime, type Month } from '../period.ts';
import {
  amountText,
  type Decimal,
  decimal,
  divideRounded,
  type InCurrency,
  priceText,
  sum,
  ZERO,
} from '../plans/money.ts';
import type { Plan } from '../plans/plan.ts';
import { formatCount } from '../render/text.ts';
import type { Grouping, Kind } from '../reports/grouping.ts';
import { type GroupsBy, type MeteredGroup, meteredGroups } from '../reports/groups.ts';
import type { Store } from '../store/store.ts';
import { bill } from './bill.ts';
import { type BilledLater, billedLater } from './billed-later.ts';
import type { Invoice } from './invoice.ts';
import { shareParts } from './shares.ts';
import type { StoragePrice } from './storage-price.ts';

/** What a bill can be shared by: compressed bytes as stored, or events. */
export const WEIGHTS = ['bytes', 'events'] as const;
export type Weight = (typeof WEIGHTS)[number];

/** A GB of a storage price: 10^9 bytes, as the units of FOCUS have it; a GiB is 2^30. */
const GB = 1_000_000_000n;

/** A part of a bill; of each it is known what falls to whom. */
export interface Part {
  kind: 'usage' | 'base_fee' | 'minimum' | 'adjustment';
  /** The month it is for: of an adjustment an earlier one. */
  month: string;
  amount: Decimal;
}

/** What a tenant is to pay for a month, and by what. */
export interface Bill extends InCurrency {
  tenant: string;
  basis: { kind: 'storage_price'; price: Decimal } | { kind: 'plan'; name: string; version: number | null };
  parts: readonly Part[];
  /** The sum of the parts. */
  total: Decimal;
}

/** A group with what falls to it. */
export interface CostRow {
  /** null where it is not of a value. */
  key: string | null;
  kind: Kind;
  events: bigint;
  bytes: bigint;
  /** Of each part of the bill, in their order. */
  shares: readonly Decimal[];
  /** Their sum: the group's share of the whole bill, off by less than a unit. */
  amount: Decimal;
}

/** A tenant's bill, shared. */
export interface TenantCosts {
  bill: Bill;
  /** By weight, largest first; the amounts add up to the bill. */
  rows: readonly CostRow[];
}

/** A month's bills by group. */
export interface Costs {
  /** null: all tenants. */
  tenantId: string | null;
  month: Month;
  /** Whether the month still runs. */
  open: boolean;
  groupBy: Grouping;
  weight: Weight;
  /** The time as of which it is told; null: as it is now. */
  asOf: Date | null;
  tenants: readonly TenantCosts[];
  /** Tenants with usage that have no bill: no plan is in force for them. */
  withoutPlan: readonly string[];
  /** Of a closed month, those with a plan whose usage came after that: it is on a later bill. */
  billedLater: readonly BilledLater[];
}

/**
 * What a month's events cost, by group.
 * @param wanted.tenantId null: all tenants, each with a bill of its own
 * @param wanted.storage in the place of what is billed
 * @param wanted.plan to be tried in the place of those in force, without adjustments
 * @param wanted.asOf the bill and the groups as they were at this time
 * @param wanted.limit groups at most
 * @throws InfrasageError (exit 2) where there are more, (exit 3) where what was known then is not known any more
 */
export async function costsOf(
  store: Store,
  wanted: {
    tenantId: string | null;
    month: Month;
    now: Date;
    groupBy: GroupsBy;
    weight: Weight;
    storage?: StoragePrice | undefined;
    plan?: Plan | undefined;
    asOf?: Date | undefined;
    limit?: number | undefined;
  },
): Promise<Costs> {
  const { tenantId, month, now, weight, storage, plan, asOf, limit } = wanted;
  const billed = storage ? [] : (await bill(store, { tenantId, month, now, plan, asOf })).invoices;
  const found = await meteredGroups(store, { ...wanted, period: month.period });
  if (limit !== undefined && found.length > limit) throw tooManyGroups(wanted.groupBy, limit);
  const groups = groupBy(found, ({ tenant }) => tenant);
  const bills = storage
    ? [...groups].map(([tenant, theirs]) => storageBill(tenant, theirs, { month, ...storage }))
    : billed.map(invoiceBill);
  // One that has a bill for adjustments alone has no plan in this month.
  const known = new Set(bills.filter(isOfUsage).map(({ tenant }) => tenant));
  const without = [...groups.keys()].filter((tenant) => !known.has(tenant));
  const later = await billedLater(store, without, { month, asOf });
  const isLater = new Set(later.map(({ tenant }) => tenant));
  return {
    ...{ tenantId, month, open: (asOf ?? now) < month.period.end, groupBy: wanted.groupBy, weight },
    asOf: asOf ?? null,
    tenants: countedOnce(bills.map((one) => shareBill(one, groups.get(one.tenant) ?? [], weight))),
    withoutPlan: without.filter((tenant) => !isLater.has(tenant)),
    billedLater: later,
  };
}

/**
 * A tenant has a bill in each currency: events and bytes of its groups are with the one for its usage, and 0 with
 * those for adjustments alone.
 */
function countedOnce(shared: readonly TenantCosts[]): TenantCosts[] {
  const seen = new Set<string>();
  return shared.map((one) => {
    const { tenant } = one.bill;
    if (isOfUsage(one.bill) && !seen.has(tenant)) {
      seen.add(tenant);
      return one;
    }
    return { ...one, rows: one.rows.map((row) => ({ ...row, events: 0n, bytes: 0n })) };
  });
}

/** Whether a bill is for the usage of its month, and not for adjustments alone. */
function isOfUsage({ parts }: Bill): boolean {
  return parts.some(({ kind }) => kind === 'usage');
}

/** A month's storage at a price: the bytes stored of its events, each kept for a month. */
export function storageBill(
  tenant: string,
  groups: readonly MeteredGroup[],
  { month, price, currency, digits }: StoragePrice & { month: Month },
): Bill {
  const bytes = groups.reduce((total, group) => total + group.bytes, 0n);
  const amount = divideRounded(price.times(decimal(bytes)), GB, digits);
  return {
    ...{ tenant, currency, digits, basis: { kind: 'storage_price', price }, total: amount },
    parts: [{ kind: 'usage', month: month.name, amount }],
  };
}

/**
 * The bill of an invoice: its lines by what they are, and the adjustments by their month. One that is made for
 * adjustments alone has no part for the usage of its month: that is on the tenant's other one.
 */
export function invoiceBill({ tenant, month, plan, lines, adjustments, total, ...money }: Invoice): Bill {
  const { currency, digits } = money;
  const of = (kinds: readonly string[]) =>
    sum(lines.filter(({ kind }) => kinds.includes(kind)).map(({ amount }) => amount));
  const parts: Part[] = [
    { kind: 'usage', month: month.name, amount: of(['usage', 'included']) },
    { kind: 'base_fee', month: month.name, amount: of(['base_fee']) },
    { kind: 'minimum', month: month.name, amount: of(['minimum']) },
    ...adjustments.map(({ month: name, amount }): Part => ({ kind: 'adjustment', month: name, amount })),
  ];
  const ofUsage = lines.length > 0 || adjustments.length === 0;
  const charged = parts.filter(({ kind, amount }) => (kind === 'usage' ? ofUsage : !amount.eq(ZERO)));
  return { tenant, currency, digits, basis: { kind: 'plan', ...plan }, parts: charged, total };
}

/**
 * Shares a bill over groups by their weight. Where nothing weighs anything, all of it is unattributed. Of groups that
 * are left with the same remainder, the one that weighs more comes first, then the one with more events, then the
 * first by its name.
 * @param groups of one tenant; in the order of their names
 */
export function shareBill(bill: Bill, groups: readonly MeteredGroup[], weight: Weight): TenantCosts {
  const known: Omit<MeteredGroup, 'tenant'>[] = [...groups];
  if (!known.some((group) => group[weight] > 0n || group.kind === 'unattributed'))
    known.push({ key: null, kind: 'unattributed', events: 0n, bytes: 0n });
  known.sort((a, b) => descending(a[weight], b[weight]) || descending(a.events, b.events));
  const weights = weightsOf(known, weight);
  const { digits } = bill;
  const unit = decimal(`1e-${digits}`);
  const shared = shareParts(
    bill.parts.map(({ amount }) => BigInt(amount.toFixed(digits).replace('.', ''))),
    weights,
  );
  const rows = known.map(({ key, kind, events, bytes }, at): CostRow => {
    const shares = shared.map((part) => decimal(part[at] ?? 0n).times(unit));
    return { key, kind, events, bytes, shares, amount: sum(shares) };
  });
  return { bill, rows };
}

function tooManyGroups(by: Grouping, limit: number): InfrasageError {
  return usageError(
    `there are more than ${formatCount(limit)} groups by ${by}`,
    'the command infrasage costs has no limit',
  );
}

/** What an amount is shared over groups by; where nothing weighs anything, it is all unattributed. */
export function weightsOf(
  groups: readonly Pick<CostRow, 'kind' | 'events' | 'bytes'>[],
  weight: Weight,
): bigint[] {
  const isWeighed = groups.some((group) => group[weight] > 0n);
  return groups.map((group) => (isWeighed ? group[weight] : group.kind === 'unattributed' ? 1n : 0n));
}

function descending(a: bigint, b: bigint): number {
  return b > a ? 1 : b < a ? -1 : 0;
}

/** The JSON shape: amounts are texts, exact. */
export function costsJson(costs: Costs) {
  const { tenantId, month, open, groupBy, weight, asOf, tenants } = costs;
  return {
    tenant_id: tenantId,
    month: month.name,
    period: { start: isoTime(month.period.start), end: isoTime(month.period.end) },
    open,
    ...(asOf && { as_of: isoTime(asOf) }),
    group_by: groupBy,
    weight,
    tenants: tenants.map((tenant) => {
      const { bill } = tenant;
      const { currency, basis } = bill;
      return {
        tenant_id: bill.tenant,
        currency,
        basis:
          basis.kind === 'plan' ? basis : { ...basis, price: priceText(basis.price, bill), per: 'GB-month' },
        parts: bill.parts.map(({ amount, ...part }) => ({ ...part, amount: amountText(amount, bill) })),
        total: amountText(bill.total, bill),
        breakdown: tenant.rows.map((row) => costCells(row, groupBy, bill)),
      };
    }),
    without_plan: costs.withoutPlan,
    billed_later: costs.billedLater.map(({ tenant, on }) => ({ tenant_id: tenant, month: on })),
  };
}

/** A row under the names it is printed with. */
export function costCells(
  { key, kind, events, bytes, amount }: CostRow,
  groupBy: Grouping,
  { currency, digits }: InCurrency,
) {
  return { [groupBy]: key, kind, events, bytes, amount: amountText(amount, { digits }), currency };
}
