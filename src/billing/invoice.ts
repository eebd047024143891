import { isoTime, type Month } from '../period.ts';
import { readCatalog } from '../plans/catalog.ts';
import { amountText, type Decimal, minorDigits, sum } from '../plans/money.ts';
import type { Plan } from '../plans/plan.ts';
import { type InvoiceLine, rate, subtotal, type TypeQuantities } from '../plans/rate.ts';
import { type Billing, billingJson, project } from '../reports/billing.ts';
import type { Store } from '../store/store.ts';
import { monthFigures, type TypeFigures } from './figures.ts';

export type { InvoiceLine } from '../plans/rate.ts';

/** What a closed month's figures came to since, billed with a later month. */
export interface Adjustment {
  /** The month that it is for: `2026-09`. */
  month: string;
  /** What has changed, with its sign. */
  quantities: readonly TypeQuantities[];
  /** What the month comes to now, less what was billed for it; with its sign. */
  amount: Decimal;
}

/** What a tenant is to pay for a month. */
export interface Invoice {
  tenant: string;
  month: Month;
  /** version is null for a plan that is only tried. */
  plan: { name: string; version: number | null };
  /** ISO 4217. */
  currency: string;
  lines: readonly InvoiceLine[];
  /** Of the lines. */
  subtotal: Decimal;
  adjustments: readonly Adjustment[];
  /** subtotal and adjustments. */
  total: Decimal;
  /** Whether the month is not over. */
  open: boolean;
  /** What it will come to where the rest of the month goes on at the pace so far; null where the month is over. */
  projected: { method: 'linear'; total: Decimal } | null;
}

/**
 * The invoices of a month, by events, largest first: of every tenant that has a plan of its own, and where there is a
 * default, of every tenant with events in that month.
 * @param wanted.tenantId null: all tenants
 * @param wanted.plan to be tried in the place of those in force, on every tenant with events
 * @param wanted.asOf with the figures that were known at this time
 * @param wanted.figures of that month and tenant, where they were read already: what is shown beside agrees with them
 * @throws InfrasageError (exit 3) where these are not known any more
 */
export async function invoices(
  store: Store,
  {
    tenantId,
    month,
    now,
    plan,
    asOf,
    figures,
  }: {
    tenantId: string | null;
    month: Month;
    now: Date;
    plan?: Plan | undefined;
    asOf?: Date | undefined;
    figures?: readonly TypeFigures[];
  },
): Promise<Invoice[]> {
  const catalog = await readCatalog(store);
  const metered = figures ?? (await monthFigures(store, { tenantId, month, asOf }));
  const own = (plan ? [] : catalog.tenantsWithOwn(month)).filter(
    (tenant) => tenantId === null || tenant === tenantId,
  );
  const made: Invoice[] = [];
  for (const [tenant, theirs] of byTenant(metered, own)) {
    const inForce = plan ? { plan, version: null } : await catalog.planOf(tenant, month);
    if (inForce) made.push(invoiceOf(inForce, theirs, { tenant, month, now: asOf ?? now }));
  }
  return made;
}

/** Figures by their tenant, by events, largest first; then those that have none. */
export function byTenant(
  figures: readonly TypeFigures[],
  more: readonly string[],
): Map<string, TypeFigures[]> {
  const tenants = new Map<string, TypeFigures[]>();
  for (const one of figures) tenants.set(one.tenant, [...(tenants.get(one.tenant) ?? []), one]);
  const events = (theirs: readonly TypeFigures[]) => theirs.reduce((total, one) => total + one.events, 0n);
  const sorted = [...tenants].sort(
    ([, a], [, b]) => Number(events(b) > events(a)) - Number(events(b) < events(a)),
  );
  const without = more.filter((tenant) => !tenants.has(tenant));
  return new Map([...sorted, ...without.map((tenant): [string, TypeFigures[]] => [tenant, []])]);
}

/** The invoice of a tenant and month from its figures; what it comes to is decided by these alone. */
export function invoiceOf(
  { plan, version }: { plan: Plan; version: number | null },
  figures: readonly TypeQuantities[],
  {
    tenant,
    month,
    now,
    adjustments = [],
  }: { tenant: string; month: Month; now: Date; adjustments?: readonly Adjustment[] },
): Invoice {
  const lines = rate(plan, figures);
  const net = subtotal(lines);
  const added = sum(adjustments.map(({ amount }) => amount));
  const open = now < month.period.end;
  const expected = open
    ? subtotal(
        rate(
          plan,
          figures.map((one) => projectedFigures(one, month, now)),
        ),
      )
    : null;
  return {
    ...{ tenant, month, plan: { name: plan.name, version }, currency: plan.currency, lines },
    ...{ subtotal: net, adjustments, total: net.plus(added), open },
    projected: expected && { method: 'linear', total: expected.plus(added) },
  };
}

function projectedFigures(
  { type, events, bytesIngested, bytesReceived }: TypeQuantities,
  month: Month,
  now: Date,
): TypeQuantities {
  return {
    ...{ type, events: project(events, month, now) },
    bytesIngested: project(bytesIngested, month, now),
    bytesReceived: project(bytesReceived, month, now),
  };
}

/** The JSON shape of a line: amounts and prices are texts, exact. */
export function lineJson(line: InvoiceLine, currency: string) {
  const { tier, unitPrice } = line;
  return {
    line_id: line.id,
    charge_id: line.charge,
    kind: line.kind,
    dimension: line.dimension,
    event_types: line.eventTypes,
    model: line.model,
    quantity: line.quantity,
    packages: line.packages,
    tier: tier && { number: tier.number, from: tier.from, up_to: tier.upTo },
    per: line.per,
    unit_price: unitPrice && priceText(unitPrice, currency),
    amount: amountText(line.amount, currency),
    description: line.text,
  };
}

/** The JSON shape of an invoice. */
export function invoiceJson(invoice: Invoice) {
  const { tenant, month, plan, currency, lines, adjustments, open, projected } = invoice;
  return {
    tenant_id: tenant,
    month: month.name,
    period: { start: isoTime(month.period.start), end: isoTime(month.period.end) },
    plan,
    currency,
    lines: lines.map((line) => lineJson(line, currency)),
    subtotal: amountText(invoice.subtotal, currency),
    adjustments: adjustments.map(({ month: name, quantities, amount }) => ({
      month: name,
      quantities: quantities.map(({ type, events, bytesIngested, bytesReceived }) => ({
        ...{ event_type: type, events, bytes_ingested: bytesIngested, bytes_received: bytesReceived },
      })),
      amount: amountText(amount, currency),
    })),
    total: amountText(invoice.total, currency),
    open,
    projected: projected && { method: projected.method, total: amountText(projected.total, currency) },
  };
}

/** The JSON shape of a month's bill: its totals, and where there are any, its invoices. */
export function billJson(found: Billing, made: readonly Invoice[]) {
  return { ...billingJson(found), ...(made.length > 0 && { invoices: made.map(invoiceJson) }) };
}

/** A unit price in full, with the digits of the minor unit at least. */
export function priceText(price: Decimal, currency: string): string {
  const text = price.toFixed();
  const decimals = text.split('.')[1]?.length ?? 0;
  return price.toFixed(Math.max(decimals, minorDigits(currency)));
}
