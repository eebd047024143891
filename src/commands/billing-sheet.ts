import { usedPercent } from '../alerts/quotas.ts';
import { type Bill, tenantsOn } from '../billing/bill.ts';
import type { Invoice } from '../billing/invoice.ts';
import { groupBy } from '../group-by.ts';
import { isoTime } from '../period.ts';
import { amountText } from '../plans/money.ts';
import type { Column, Row } from '../render/report.ts';
import type { Pair, Sheet } from '../render/sheet.ts';
import { formatBytes, formatCount, plural } from '../render/text.ts';
import type { TenantMonth } from '../reports/billing.ts';
import { adjustmentNotes } from './billing-adjustments.ts';
import { invoiceLines, planWords } from './billing-invoice.ts';

/** What the bill has of one tenant beside an invoice. */
interface Its {
  facts: readonly Pair[];
  usage: TenantMonth | undefined;
  /** Whether the month goes on. */
  open: boolean;
  notes: readonly string[];
}

/**
 * A bill as sheets to print, one a tenant: its invoice, or where it has no plan, its usage. A tenant that is billed in
 * several currencies has a sheet of each.
 */
export function billSheets(its: Bill, now: Date): Sheet[] {
  const { found, invoices, adjustments } = its;
  const facts = monthFacts(its, now);
  const { start, end } = found.month.period;
  const open = start <= now && now < end;
  const metered = new Map(found.tenants.map((tenant) => [tenant.tenant_id, tenant]));
  const names = tenantsOn(its);
  const invoicesOf = groupBy(invoices, tenantOf);
  const changesOf = groupBy(adjustments, tenantOf);
  if (names.length === 0) return [usageSheet('all tenants', { facts, usage: undefined, open, notes: [] })];
  return names.flatMap((name) => {
    const usage = metered.get(name);
    const changed = adjustmentNotes(changesOf.get(name) ?? []);
    const of = { facts, usage, open, notes: [...(usage ? quotaNotes(usage) : []), ...changed] };
    const theirs = invoicesOf.get(name) ?? [];
    return theirs.length > 0 ? theirs.map((invoice) => invoiceSheet(invoice, of)) : [usageSheet(name, of)];
  });
}

function tenantOf({ tenant }: { tenant: string }): string {
  return tenant;
}

/** What holds for every sheet. Of a month that is over, nothing of it depends on when the page is made. */
function monthFacts({ found: { month, asOf }, closing }: Bill, now: Date): Pair[] {
  const { start, end } = month.period;
  const minute = (time: Date) => time.toISOString().slice(0, 16).replace('T', ' ');
  // The closing by its time, by which it is found in the history.
  const state = closing
    ? `closed ${isoTime(closing.at)}`
    : now < start
      ? 'not begun yet'
      : now < end
        ? `open, at ${minute(now)}`
        : 'over, not closed';
  const last = new Date(end.getTime() - 1);
  return [
    ['Month', month.name],
    ['Period (UTC)', `${start.toISOString().slice(0, 10)} to ${last.toISOString().slice(0, 10)}`],
    ['Status (UTC)', state],
    ...(asOf ? [['As of', isoTime(asOf)] as const] : []),
  ];
}

function invoiceSheet(invoice: Invoice, { facts, usage, notes }: Its): Sheet {
  const { tenant, plan, currency, subtotal, adjustments, total, projected } = invoice;
  // What is billed of earlier months comes below the subtotal.
  const { rows, tableColumns = [] } = invoiceLines([{ ...invoice, adjustments: [] }], { several: false });
  const money = (amount: Invoice['total']) => `${amountText(amount, invoice)} ${currency}`;
  return {
    kind: plan.version === null ? 'Trial invoice' : 'Invoice',
    name: tenant,
    facts: [...facts, ['Price plan', planWords(invoice)], ['Currency', currency]],
    ...tableOf(tableColumns, rows),
    totals: [
      ['Subtotal', money(subtotal)],
      ...adjustments.map(({ month, amount }) => [`Adjustment of ${month}`, money(amount)] as const),
      ['Total', money(total)],
    ],
    notes: [
      ...(usage ? [metered(usage)] : []),
      ...(projected ? [projectionWords(usage, money(projected.total))] : []),
      ...notes,
    ],
  };
}

const USAGE_COLUMNS: readonly Column[] = [
  { key: 'event_type', title: 'Type', kind: 'text' },
  { key: 'events', title: 'Events', kind: 'count' },
  { key: 'bytes', title: 'Stored bytes', kind: 'count' },
];

function usageSheet(name: string, { facts, usage, open, notes }: Its): Sheet {
  const { total_events = 0n, total_bytes = 0n, by_type = [] } = usage ?? {};
  return {
    ...{ kind: 'Usage', name, facts },
    ...tableOf(
      USAGE_COLUMNS,
      by_type.map((type) => ({ ...type })),
    ),
    totals: [
      ['Stored bytes', `${formatCount(total_bytes)} (${formatBytes(total_bytes)})`],
      ['Events', formatCount(total_events)],
    ],
    notes: [
      ...(total_events === 0n ? ['No events in this month.'] : open ? [projectionWords(usage)] : []),
      ...notes,
    ],
  };
}

function metered({ total_events, total_bytes }: TenantMonth): string {
  return `Metered: ${plural(total_events, 'event')}, ${plural(total_bytes, 'byte')} (${formatBytes(total_bytes)}) stored`;
}

/** What the whole month comes to at the pace so far. */
function projectionWords(usage: TenantMonth | undefined, total?: string): string {
  const events = usage ? [plural(usage.projected_events, 'event')] : [];
  return `Projected for the whole month at this pace (linear): ${[...events, ...(total ? [total] : [])].join(', ')}`;
}

function quotaNotes({ quota_events, quota_used_percent, quota_bytes, total_bytes }: TenantMonth): string[] {
  return [
    ...(quota_events === null
      ? []
      : [`Quota: ${plural(quota_events, 'event')} a month, ${quota_used_percent} % used`]),
    ...(quota_bytes === null
      ? []
      : [
          `Quota: ${formatBytes(quota_bytes)} stored a month, ${usedPercent(total_bytes, quota_bytes)} % used`,
        ]),
  ];
}

function tableOf(columns: readonly Column[], rows: readonly Row[]): Pick<Sheet, 'columns' | 'rows'> {
  return {
    columns: columns.map(({ title, kind, whole = false }) => ({
      ...{ title, whole, align: kind === 'text' ? ('left' as const) : ('right' as const) },
    })),
    rows: rows.map((row) => columns.map((column) => cellText(row, column))),
  };
}

function cellText(row: Row, { key, kind, shown }: Column): string {
  const value = shown?.(row) ?? row[key] ?? null;
  if (value === null) return '';
  return kind === 'count' && (typeof value === 'bigint' || typeof value === 'number')
    ? formatCount(value)
    : String(value);
}
