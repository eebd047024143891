import type { Invoice } from '../billing/invoice.ts';
import { amountText, priceText } from '../plans/money.ts';
import type { Column, Report, Row } from '../render/report.ts';
import { printable } from '../render/text.ts';

/** Tenants whose totals are written out; of more, the number is given. */
const MOST_TENANTS = 20;

/**
 * The lines of invoices, one after the other, for every format but JSON; notes have what they come to.
 * @param on.several whether there is more than one tenant on the bill, with an invoice or without: each line says whose
 *   it is then
 */
export function invoiceLines(
  invoices: readonly Invoice[],
  on: { several: boolean },
): Pick<Report, 'rows' | 'columns' | 'tableColumns' | 'wrap' | 'notes'> {
  const several = on.several || invoices.length > 1;
  return {
    rows: invoices.flatMap(rowsOf),
    columns: [TENANT, ...COLUMNS],
    tableColumns: tableColumns(invoices, several),
    wrap: true,
    notes: several ? totalsOf(invoices) : invoices.flatMap(notesOf),
  };
}

/** What there is room for: of one tenant what each line is, of several whose it is. */
function tableColumns(invoices: readonly Invoice[], several: boolean): Column[] {
  const currencies = new Set(invoices.map(({ currency }) => currency));
  const shown = several ? SHOWN : ['description', ...SHOWN];
  const columns = COLUMNS.filter(
    ({ key }) => shown.includes(key) || (key === 'currency' && currencies.size > 1),
  );
  const [one] = currencies;
  const named = columns.map((column) =>
    column.key === 'amount' && currencies.size === 1 ? { ...column, title: `Amount ${one}` } : column,
  );
  return several ? [TENANT, ...named] : named;
}

const TENANT: Column = { key: 'tenant_id', title: 'Tenant', kind: 'text' };
const COLUMNS: Column[] = [
  { key: 'line_id', title: 'Line', kind: 'text', whole: true },
  { key: 'description', title: 'What', kind: 'text' },
  { key: 'dimension', title: 'Dimension', kind: 'text' },
  { key: 'event_types', title: 'Types', kind: 'text' },
  { key: 'quantity', title: 'Quantity', kind: 'count' },
  { key: 'tier', title: 'Tier', kind: 'number' },
  { key: 'per', title: 'Per', kind: 'count' },
  { key: 'unit_price', title: 'Unit price', kind: 'number' },
  { key: 'amount', title: 'Amount', kind: 'number' },
  { key: 'currency', title: 'Currency', kind: 'text', whole: true },
];
/** Of every table; a line's name has the number of its tier. */
const SHOWN = ['line_id', 'quantity', 'per', 'unit_price', 'amount'];

function rowsOf(invoice: Invoice): Row[] {
  const { tenant, currency, lines, adjustments } = invoice;
  const common = { tenant_id: tenant };
  return [
    ...lines.map((line) => ({
      ...{ ...common, line_id: line.id, description: line.text, dimension: line.dimension },
      event_types: line.eventTypes?.join(' ') ?? (line.dimension === null ? null : 'all'),
      ...{ quantity: line.quantity, tier: line.tier?.number ?? null, per: line.per },
      unit_price: line.unitPrice && priceText(line.unitPrice, invoice),
      ...{ amount: amountText(line.amount, invoice), currency },
    })),
    ...adjustments.map(({ month, amount }) => ({
      ...{ ...common, line_id: `adjustment.${month}`, description: `late events of ${month}` },
      ...{ dimension: null, event_types: null, quantity: null, tier: null, per: null, unit_price: null },
      ...{ amount: amountText(amount, invoice), currency },
    })),
  ];
}

/** What an invoice comes to, a line each. */
function notesOf(invoice: Invoice): string[] {
  const { currency, adjustments, projected } = invoice;
  return [
    ...(adjustments.length > 0 ? [`Subtotal: ${amountText(invoice.subtotal, invoice)} ${currency}`] : []),
    `Total: ${amountText(invoice.total, invoice)} ${currency}, by plan ${planWords(invoice)}`,
    ...(projected
      ? [
          `Projected for the whole month at this pace (${projected.method}): ${amountText(projected.total, invoice)} ${currency}`,
        ]
      : []),
  ];
}

function totalsOf(invoices: readonly Invoice[]): string[] {
  const rest = invoices.length - MOST_TENANTS;
  return [
    ...invoices.slice(0, MOST_TENANTS).map((invoice) => {
      const { tenant, currency, total, projected } = invoice;
      const expected = projected ? `, projected ${amountText(projected.total, invoice)}` : '';
      return `Total of ${printable(tenant)}: ${amountText(total, invoice)} ${currency}${expected}, by plan ${planWords(invoice)}`;
    }),
    ...(rest > 0 ? [`${rest} more: infrasage billing --month --json shows them all`] : []),
  ];
}

export function planWords({ plan: { name, version } }: Invoice): string {
  return version === null ? `${name} (only tried)` : `${name}, version ${version}`;
}
