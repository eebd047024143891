import { isoTime, type Month } from '../period.ts';
import type { Catalog } from '../plans/catalog.ts';
import { amountText, type Decimal, type InCurrency, priceText, ZERO } from '../plans/money.ts';
import type { Plan } from '../plans/plan.ts';
import { type InvoiceLine, rate, subtotal, type TypeQuantities } from '../plans/rate.ts';
import { project } from '../reports/billing.ts';
import { quantityJson, type TenantAdjustment } from './adjustments.ts';
import type { TypeFigures } from './figures.ts';

export type { InvoiceLine } from '../plans/rate.ts';

/** What has changed of a closed month since it was billed, billed with a later month. */
export type Adjustment = Pick<TenantAdjustment, 'month' | 'quantities'> & {
  /** What the month comes to now, less what was billed for it; with its sign. */
  amount: Decimal;
};

/** What a tenant is to pay for a month. */
export interface Invoice extends InCurrency {
  tenant: string;
  month: Month;
  /** version is null for a plan that is only tried. */
  plan: { name: string; version: number | null };
  lines: readonly InvoiceLine[];
  /** Of the lines. */
  subtotal: Decimal;
  adjustments: readonly Adjustment[];
  /** subtotal and adjustments. */
  total: Decimal;
  /** Whether the month has begun and is not over. */
  open: boolean;
  /** What it will come to where the rest of the month goes on at the pace so far; null where it is over, or has not begun. */
  projected: { method: 'linear'; total: Decimal } | null;
}

/** What the invoices of a month are made of, beside its figures. */
export interface Wanted {
  /** null: all tenants. */
  tenantId: string | null;
  month: Month;
  /** Or the time that the figures and plans are of. */
  now: Date;
  /** The plans in force, or one that is tried in their place, on every tenant with events. */
  by: { catalog: Catalog } | { plan: Plan };
}

/**
 * The invoices of a month, by events, largest first: of every tenant that has a plan of its own, and where there is a
 * default, of every tenant with events in that month.
 */
export async function invoices(
  figures: readonly TypeFigures[],
  { tenantId, month, now, by }: Wanted,
): Promise<Invoice[]> {
  const own = ('catalog' in by ? by.catalog.tenantsWithOwn(month) : []).filter(
    (tenant) => tenantId === null || tenant === tenantId,
  );
  const made: Invoice[] = [];
  for (const [tenant, theirs] of byTenant(figures, own)) {
    const inForce =
      'catalog' in by ? await by.catalog.planOf(tenant, month) : { plan: by.plan, version: null };
    if (inForce) made.push(invoiceOf(inForce, theirs, { tenant, month, now }));
  }
  return made;
}

/**
 * Invoices with what earlier months are billed for once more. Where a tenant has none in the currency of that, it gets
 * one without lines.
 */
export function withAdjustments(
  made: readonly Invoice[],
  adjustments: readonly TenantAdjustment[],
  { month, now }: { month: Month; now: Date },
): Invoice[] {
  const key = (tenant: string, currency: string) => JSON.stringify([tenant, currency]);
  // Each in its place, those without lines after all others.
  const all = new Map(made.map((invoice) => [key(invoice.tenant, invoice.currency), invoice]));
  for (const { tenant, month: of, quantities, plan, amount } of adjustments) {
    if (!plan || !amount) continue;
    const { name, version, currency, digits } = plan;
    const open = isRunning(month, now);
    const invoice = all.get(key(tenant, currency)) ?? {
      ...{ tenant, month, plan: { name, version }, currency, digits, lines: [], adjustments: [] },
      ...{ subtotal: ZERO, total: ZERO, open, projected: open ? { method: 'linear', total: ZERO } : null },
    };
    all.set(key(tenant, currency), {
      ...invoice,
      adjustments: [...invoice.adjustments, { month: of, quantities, amount }],
      total: invoice.total.plus(amount),
      projected: invoice.projected && { ...invoice.projected, total: invoice.projected.total.plus(amount) },
    });
  }
  return [...all.values()];
}

/** Of a month that has not begun, there is no pace to project. */
function isRunning({ period: { start, end } }: Month, now: Date): boolean {
  return now >= start && now < end;
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
  { tenant, month, now }: { tenant: string; month: Month; now: Date },
): Invoice {
  const lines = rate(plan, figures);
  const net = subtotal(lines);
  const open = isRunning(month, now);
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
    ...{ digits: plan.digits, subtotal: net, adjustments: [], total: net, open },
    projected: expected && { method: 'linear', total: expected },
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
export function lineJson(line: InvoiceLine, money: InCurrency) {
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
    unit_price: unitPrice && priceText(unitPrice, money),
    amount: amountText(line.amount, money),
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
    lines: lines.map((line) => lineJson(line, invoice)),
    subtotal: amountText(invoice.subtotal, invoice),
    adjustments: adjustments.map(({ month: name, quantities, amount }) => ({
      month: name,
      quantities: quantities.map(quantityJson),
      amount: amountText(amount, invoice),
    })),
    total: amountText(invoice.total, invoice),
    open,
    projected: projected && { method: projected.method, total: amountText(projected.total, invoice) },
  };
}
