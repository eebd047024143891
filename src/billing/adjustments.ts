import type { Catalog, PlanInForce } from '../plans/catalog.ts';
import { amountText, type Decimal, sum, ZERO } from '../plans/money.ts';
import { parsePlan } from '../plans/plan.ts';
import { type InvoiceLine, rate, subtotal } from '../plans/rate.ts';
import type { Billed, LockedPlan } from './billed.ts';
import type { TypeFigures, TypeQuantities } from './figures.ts';
import { groupBy } from './group-by.ts';

/** What has changed of a closed month since it was billed; it goes on the bill of the first month that is not closed. */
export interface TenantAdjustment {
  tenant: string;
  /** That the events are of: 2026-09. */
  month: string;
  /** What has changed, with its sign, by type. */
  quantities: readonly TypeQuantities[];
  /** What the month is billed by; null without a plan. */
  plan: LockedPlan | null;
  /** What the month comes to now, less all that was billed for it; null without a plan. */
  amount: Decimal | null;
}

/** The JSON shape of figures, with their sign. */
export function quantityJson({ type, events, bytesIngested, bytesReceived }: TypeQuantities) {
  return { event_type: type, events, bytes_ingested: bytesIngested, bytes_received: bytesReceived };
}

/** The JSON shape of an adjustment; the amount is a text, exact. */
export function adjustmentJson({ tenant, month, quantities, plan, amount }: TenantAdjustment) {
  return {
    tenant_id: tenant,
    month,
    quantities: quantities.map(quantityJson),
    amount: plan && amount && amountText(amount, plan.currency),
    currency: plan?.currency ?? null,
  };
}

/**
 * What closed months have to be billed for once more.
 * @param metered the figures that closed months have now
 * @param billed all that closings in force have billed for them
 * @param catalog for tenants of whom nothing was billed in such a month, or nothing is left
 * @returns by month and tenant
 */
export async function adjustmentsOf(
  metered: readonly (TypeFigures & { month: string })[],
  billed: readonly Billed[],
  catalog: Catalog,
): Promise<TenantAdjustment[]> {
  const now = groupBy(metered, keyOf);
  const before = groupBy(billed, keyOf);
  const found: TenantAdjustment[] = [];
  for (const key of [...new Set([...now.keys(), ...before.keys()])].sort()) {
    const figures = now.get(key) ?? [];
    const earlier = before.get(key) ?? [];
    const quantities = difference(
      figures,
      earlier.flatMap((one) => one.figures),
    );
    if (quantities.length === 0) continue;
    const [month = '', tenant = ''] = JSON.parse(key) as string[];
    const plan = earlier.length > 0 ? billedBy(earlier) : await inForce(catalog, tenant, month);
    // By the default plan, who has no events pays nothing, no fee either.
    const isBilled = figures.length > 0 || catalog.own(tenant, month) !== undefined;
    const amount =
      plan &&
      (isBilled ? subtotal(await ratedBy(plan, figures)) : ZERO).minus(
        sum(earlier.flatMap((one) => one.amount ?? [])),
      );
    found.push({ tenant, month, quantities, plan, amount });
  }
  return found;
}

/** What a locked plan makes of figures. */
export async function ratedBy(
  { name, text }: LockedPlan,
  figures: readonly TypeQuantities[],
): Promise<InvoiceLine[]> {
  return rate(await parsePlan(text, name), figures);
}

/** A plan that is in force, as it is locked. */
export function lockedPlan({ plan, version, text }: PlanInForce): LockedPlan {
  return { name: plan.name, version, text, currency: plan.currency };
}

/** All that was billed of a month and tenant was by one plan. */
function billedBy(billed: readonly Billed[]): LockedPlan | null {
  return billed.find(({ plan }) => plan)?.plan ?? null;
}

async function inForce(catalog: Catalog, tenant: string, month: string): Promise<LockedPlan | null> {
  const found = await catalog.planOf(tenant, { name: month });
  return found ? lockedPlan(found) : null;
}

type Figure = Exclude<keyof TypeQuantities, 'type'>;

/** By type, what is there more than was billed; nothing of types where that is the same. */
function difference(now: readonly TypeQuantities[], billed: readonly TypeQuantities[]): TypeQuantities[] {
  const types = [...new Set([...now, ...billed].map(({ type }) => type))].sort();
  return types
    .map((type): TypeQuantities => {
      const of = (all: readonly TypeQuantities[], key: Figure) =>
        all.reduce((total, one) => (one.type === type ? total + one[key] : total), 0n);
      const change = (key: Figure) => of(now, key) - of(billed, key);
      return {
        type,
        events: change('events'),
        bytesIngested: change('bytesIngested'),
        bytesReceived: change('bytesReceived'),
      };
    })
    .filter(
      ({ events, bytesIngested, bytesReceived }) =>
        events !== 0n || bytesIngested !== 0n || bytesReceived !== 0n,
    );
}

function keyOf({ month, tenant }: { month: string; tenant: string }): string {
  return JSON.stringify([month, tenant]);
}
