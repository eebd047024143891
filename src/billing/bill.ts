import { endOf } from '../alerts/evaluate.ts';
import { type Limits, limitStatus, readLimits } from '../alerts/status.ts';
import { isoTime, type Month, parseMonth } from '../period.ts';
import { readCatalog } from '../plans/catalog.ts';
import type { Plan } from '../plans/plan.ts';
import { subtotal } from '../plans/rate.ts';
import { type Billing, billingJson, billingOf } from '../reports/billing.ts';
import type { Store } from '../store/store.ts';
import { adjustmentJson, adjustmentsOf, type RatedBy, rating, type TenantAdjustment } from './adjustments.ts';
import { type Billed, type LockedPlan, readBilled, readTerms } from './billed.ts';
import { changesOf } from './changes.ts';
import { type ClosingRecord, type Closings, readClosings } from './closings.ts';
import { monthFigures, type TypeFigures } from './figures.ts';
import { byTenant, type Invoice, invoiceJson, invoices, withAdjustments } from './invoice.ts';

/** The bill of a month. */
export interface Bill {
  /** Its totals, quotas and projection. */
  found: Billing;
  /** Of tenants that have a plan. */
  invoices: readonly Invoice[];
  /** What earlier, closed months are billed for once more; with a plan, it is on the invoices. */
  adjustments: readonly TenantAdjustment[];
  /** null where the month is open. */
  closing: ClosingRecord | null;
  /** The plans that are stored, where none of them is assigned in this month; of an open one. */
  unassigned: readonly string[];
}

interface Wanted {
  /** null: all tenants. */
  tenantId: string | null;
  month: Month;
  now: Date;
  asOf?: Date | undefined;
}

/**
 * The bill of a month. Of one that is closed, what was billed, whatever has come since; on that of the first month
 * after these that is open, what has changed of them.
 * @param wanted.asOf as it was at this time
 * @param wanted.plan to be tried in the place of those in force, on every tenant with events; without adjustments
 * @throws InfrasageError (exit 3) where that is not known any more
 */
export async function bill(store: Store, wanted: Wanted & { plan?: Plan | undefined }): Promise<Bill> {
  const { tenantId, month, asOf, plan } = wanted;
  const closings = await readClosings(store, asOf);
  const closing = closings.of(month.name);
  if (closing) return closedBill(store, closing, wanted);
  const figures = await monthFigures(store, { tenantId, month, asOf });
  const now = timeOf(wanted);
  const found = billingOf(figures, await limitsOf(store, wanted), wanted);
  if (plan) {
    const made = await invoices(figures, { tenantId, month, now, by: { plan } });
    return { found, invoices: made, adjustments: [], closing: null, unassigned: [] };
  }
  const catalog = await readCatalog(store, asOf);
  const made = await invoices(figures, { tenantId, month, now, by: { catalog } });
  const adjustments = await openAdjustments(store, closings, wanted);
  const isAssigned = catalog.names.some((name) => catalog.isAssigned(name, month.name));
  return {
    found,
    invoices: withAdjustments(made, adjustments, { month, now }),
    ...{ adjustments, closing: null, unassigned: isAssigned ? [] : catalog.names },
  };
}

async function closedBill(
  store: Store,
  closing: ClosingRecord,
  wanted: Wanted & { plan?: Plan | undefined },
): Promise<Bill> {
  const { tenantId, month, plan } = wanted;
  // Of a bill that is closed, nothing depends on when it is looked at.
  const then = { ...wanted, now: closing.at };
  const billed = await readBilled(store, { closingId: closing.closingId, tenantId });
  const locked = billed.filter((one) => one.month === month.name);
  const adjustments = billed
    .filter((one) => one.month !== month.name)
    .map(({ figures, ...one }): TenantAdjustment => ({ ...one, quantities: figures }));
  const figures = largestFirst(
    locked.flatMap(({ tenant, figures }) => figures.map((figure) => ({ tenant, ...figure }))),
  );
  const found = billingOf(figures, lockedLimits(locked, await limitsOf(store, then)), then);
  if (plan) {
    const made = await invoices(figures, { tenantId, month, now: closing.at, by: { plan } });
    return { found, closing, invoices: made, adjustments: [], unassigned: [] };
  }
  const of = new Map(locked.map((one) => [one.tenant, one]));
  const paying = locked.filter((one) => one.plan).map(({ tenant }) => tenant);
  const made: Invoice[] = [];
  const ratedBy = rating();
  for (const tenant of byTenant(figures, paying).keys()) {
    const its = of.get(tenant);
    if (its?.plan) made.push(await lockedInvoice(its, its.plan, { month, ratedBy }));
  }
  return {
    ...{ found, closing, adjustments, unassigned: [] },
    invoices: withAdjustments(made, adjustments, { month, now: closing.at }),
  };
}

/** An invoice as it was billed: its lines are not computed anew. */
async function lockedInvoice(
  { tenant, figures, lines: locked }: Billed,
  plan: LockedPlan,
  { month, ratedBy }: { month: Month; ratedBy: RatedBy },
): Promise<Invoice> {
  // Closings from before lines were locked have none.
  const lines = locked ?? (await ratedBy(plan, figures));
  const net = subtotal(lines);
  return {
    ...{ tenant, month, plan: { name: plan.name, version: plan.version }, currency: plan.currency, lines },
    ...{ digits: plan.digits, subtotal: net, adjustments: [], total: net, open: false, projected: null },
  };
}

/** Whoever is on a bill: with events, with an invoice, or with something of an earlier month. */
export function tenantsOn({ found, invoices: made, adjustments }: Bill): string[] {
  const names = [
    ...found.tenants.map(({ tenant_id }) => tenant_id),
    ...made.map(({ tenant }) => tenant),
    ...adjustments.map(({ tenant }) => tenant),
  ];
  return [...new Set(names)];
}

/** The JSON shape of a bill: its totals, and where there are any, its invoices and adjustments. */
export function billJson({ found, invoices: made, adjustments, closing }: Bill) {
  return {
    ...billingJson(found),
    ...(closing && { closed_at: isoTime(closing.at) }),
    ...(made.length > 0 && { invoices: made.map(invoiceJson) }),
    ...(adjustments.length > 0 && { adjustments: adjustments.map(adjustmentJson) }),
  };
}

function timeOf({ asOf, now }: Wanted): Date {
  return asOf ?? now;
}

/** A month that is over is held against the quotas and thresholds of its end. */
function limitsOf(store: Store, wanted: Wanted): Promise<Limits> {
  return readLimits(store, endOf(wanted.month.period, timeOf(wanted)) ?? wanted.asOf);
}

/** What closed months have to be billed for, where this is the month to do it: the first one after them. */
export async function openAdjustments(
  store: Store,
  closings: Closings,
  { tenantId, month, now, asOf }: Wanted,
): Promise<TenantAdjustment[]> {
  const [first] = closings.months;
  const last = closings.months.at(-1);
  if (first === undefined || last === undefined || closings.neighbours?.after !== month.name) return [];
  const { start } = parseMonth(first, now).period;
  const period = { start, end: parseMonth(last, now).period.end, open: false };
  const closingIds = closings.months.flatMap((name) => closings.of(name)?.closingId ?? []);
  const changes = await changesOf(store, { closingIds, period, tenantId, asOf });
  if (changes.length === 0) return [];
  const billed = await readTerms(store, { closingIds, of: changes });
  return adjustmentsOf(changes, billed, await readCatalog(store, asOf));
}

/** The order in which figures are read from the metering. */
function largestFirst(figures: readonly TypeFigures[]): TypeFigures[] {
  const order = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
  return [...figures].sort(
    (a, b) => Number(b.events - a.events) || order(a.tenant, b.tenant) || order(a.type, b.type),
  );
}

/** The quotas and thresholds that were locked; of tenants that had nothing to be locked, those of the month's end. */
function lockedLimits(locked: readonly Billed[], others: Limits): Limits {
  const of = new Map(locked.map((one) => [one.tenant, one]));
  return {
    quotaOf: (tenantId) => of.get(tenantId)?.quota ?? others.quotaOf(tenantId),
    percentsOf: (tenantId) => [...(of.get(tenantId)?.thresholds ?? others.percentsOf(tenantId))],
    status(tenantId, used) {
      const its = of.get(tenantId);
      return its
        ? limitStatus(tenantId, used, { quota: its.quota, percents: its.thresholds })
        : others.status(tenantId, used);
    },
    thresholds: others.thresholds,
  };
}
