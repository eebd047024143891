import { isoTime, type Month } from '../period.ts';
import { amountText, type Decimal, minorDigits, sum } from '../plans/money.ts';
import type { Plan } from '../plans/plan.ts';
import { type InvoiceLine, rate, subtotal, type TypeQuantities } from '../plans/rate.ts';

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
  /** Whether the month still runs. */
  open: boolean;
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
  return {
    ...{ tenant, month, plan: { name: plan.name, version }, currency: plan.currency, lines },
    ...{ subtotal: net, adjustments, total: sum([net, ...adjustments.map(({ amount }) => amount)]) },
    open: now < month.period.end,
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
  const { tenant, month, plan, currency, lines, adjustments, open } = invoice;
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
  };
}

/** A unit price in full, with the digits of the minor unit at least. */
export function priceText(price: Decimal, currency: string): string {
  const text = price.toFixed();
  const decimals = text.split('.')[1]?.length ?? 0;
  return price.toFixed(Math.max(decimals, minorDigits(currency)));
}
