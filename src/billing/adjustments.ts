import { groupBy } from '../group-by.ts';
import type { Catalog, PlanInForce } from '../plans/catalog.ts';
import { amountText, type Decimal, sum, ZERO } from '../plans/money.ts';
import { type Plan, parseStoredPlan } from '../plans/plan.ts';
import { type InvoiceLine, rate, subtotal } from '../plans/rate.ts';
import type { LockedPlan, Terms } from './billed.ts';
import type { Change } from './changes.ts';
import type { TypeQuantities } from './figures.ts';

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
    amount: plan && amount && amountText(amount, plan),
    currency: plan?.currency ?? null,
  };
}

/**
 * What closed months have to be billed for once more.
 * @param changes what closings in force have not billed for them
 * @param billed by what they have billed these months and tenants
 * @param catalog for tenants of whom nothing was billed in such a month, or nothing is left
 * @returns in the order of the changes
 */
export async function adjustmentsOf(
  changes: readonly Change[],
  billed: readonly Terms[],
  catalog: Catalog,
): Promise<TenantAdjustment[]> {
  const before = groupBy(billed, keyOf);
  const ratedBy = rating();
  const found: TenantAdjustment[] = [];
  for (const change of changes) {
    const { month, tenant, figures, quantities } = change;
    const earlier = before.get(keyOf(change)) ?? [];
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

/** What a locked plan makes of figures, to the digits that were locked with it. */
export type RatedBy = (plan: LockedPlan, figures: readonly TypeQuantities[]) => Promise<InvoiceLine[]>;

/** Rates by locked plans, of which each text is read once: thousands of tenants have the same. */
export function rating(): RatedBy {
  const plans = new Map<string, Promise<Plan>>();
  return async ({ name, text, digits }, figures) => {
    const plan = plans.get(text) ?? parseStoredPlan(text, name);
    plans.set(text, plan);
    return rate({ ...(await plan), digits }, figures);
  };
}

/** A plan that is in force, as it is locked. */
export function lockedPlan({ plan, version, text }: PlanInForce): LockedPlan {
  return { name: plan.name, version, text, currency: plan.currency, digits: plan.digits };
}

/** All that was billed of a month and tenant was by one plan. */
function billedBy(billed: readonly Terms[]): LockedPlan | null {
  return billed.find(({ plan }) => plan)?.plan ?? null;
}

async function inForce(catalog: Catalog, tenant: string, month: string): Promise<LockedPlan | null> {
  const found = await catalog.planOf(tenant, { name: month });
  return found ? lockedPlan(found) : null;
}

function keyOf({ month, tenant }: { month: string; tenant: string }): string {
  return JSON.stringify([month, tenant]);
}
