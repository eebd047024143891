import type { Dimension } from '../alerts/evaluate.ts';
import { type Bill, bill, billJson, tenantsOn } from '../billing/bill.ts';
import type { Invoice } from '../billing/invoice.ts';
import { usageError } from '../errors.ts';
import { parseAsOf, parseMonth } from '../period.ts';
import type { Report } from '../render/report.ts';
import { formatBytes, plural } from '../render/text.ts';
import type { Billing } from '../reports/billing.ts';
import { usageSeries } from '../reports/series.ts';
import type { Store } from '../store/store.ts';
import { asOfOption, asOfWords } from './as-of.ts';
import { adjustmentNotes, adjustmentRows } from './billing-adjustments.ts';
import { configure as configureBacktest } from './billing-backtest.ts';
import { configure as configureClosing } from './billing-close.ts';
import { type ExplainOptions, explainOptions, explainWay, printExplanation } from './billing-explain.ts';
import { invoiceLines } from './billing-invoice.ts';
import { type PageOptions, pageOptions, pageWanted, writePage } from './billing-page.ts';
import { chartMeasure, chartOption, limitsChart, monthChart, typesChart } from './charts.ts';
import { type CommandModule, examples, refuseExcess } from './command.ts';
import { alertLines } from './limits.ts';
import { readPlanFile } from './plan-file.ts';
import { sayIfUnassigned } from './unassigned-plan.ts';
import { sayIfUnknown } from './unknown-tenant.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  command
    .option('--month [YYYY-MM]', 'the month, UTC; without a value, the current one')
    .option('--plan <file>', 'bill by the price plan of this file (YAML), without storing it')
    .addOption(asOfOption())
    .addOption(chartOption());
  explainOptions(command);
  pageOptions(command);
  const refuse = refuseExcess(command, ([word = '']) =>
    /^\d{4}-\d{2}$/.test(word) ? `infrasage billing --month ${word}` : undefined,
  );
  examples(command, [
    'infrasage billing --month',
    'infrasage billing --month 2026-10 --tenant acme-corp',
    'infrasage billing --month 2026-10 --as-of 2026-11-02',
    'infrasage billing --month 2026-10 --plan plan.yaml',
    'infrasage billing --month --chart',
    'infrasage billing --month --format csv',
    'infrasage billing --month 2026-10 --format pdf --output bills.pdf',
    'infrasage billing --month 2026-10 --tenant acme-corp --format html --output acme.html',
    'infrasage billing --month --explain metric --tenant acme-corp',
    'infrasage billing --month 2026-10 --explain logs.2 --tenant acme-corp',
    'infrasage billing close 2026-10',
    'infrasage billing close 2026-10 --override "the late region is billed apart"',
    'infrasage billing reopen 2026-10 --reason "wrong price plan"',
    'infrasage billing history',
    'infrasage billing backtest --plan new.yaml --months 12 --max-change 10',
  ]);
  configureBacktest(command, act);
  configureClosing(command, act);
  act<
    ExplainOptions &
      PageOptions & { month?: string | true; chart?: string | true; asOf?: string; plan?: string }
  >(command, async (context, options) => {
    refuse();
    if (options.month === undefined)
      throw usageError('billing needs the month', 'infrasage billing --month, or --month 2026-10');
    const asOf = parseAsOf(options.asOf, context.now);
    const now = asOf ?? context.now;
    const month = parseMonth(options.month === true ? undefined : options.month, now);
    const way = explainWay(options, context);
    const page = await pageWanted(options, context);
    const tried = options.plan === undefined ? undefined : await readPlanFile(options.plan);
    if (way) return printExplanation(context, { ...way, month, plan: tried?.plan });
    const measure = chartMeasure(options.chart, context);
    const store = await context.store();
    const tenantId = context.config.tenant ?? null;
    const its = await bill(store, { tenantId, month, now, asOf, plan: tried?.plan });
    const { found } = its;
    await sayIfUnknown(context, { store, tenantId, events: found.total.total_events });
    await sayIfUnassigned(context, its);
    if (page) return writePage(context, page, { its, now });
    const report = billingReport(its, now);
    if (measure) Object.assign(report, await billingCharts(store, report, { its, now, measure }));
    return context.print(report);
  });
};

/** The types, the month against its limit day by day, and all limits. */
async function billingCharts(
  store: Store,
  { notes = [] }: Report,
  { its: { found, closing }, now, measure }: { its: Bill; now: Date; measure: Dimension },
): Promise<Pick<Report, 'charts' | 'notes'>> {
  const { tenantId, month, limits, total, asOf } = found;
  if (total.total_events === 0n) return { charts: limitsChart(limits, month), notes };
  const points = await usageSeries(store, {
    tenantId,
    period: month.period,
    step: 'day',
    asOf: asOf ?? undefined,
  });
  const billed = measure === 'bytes' ? total.total_bytes : total.total_events;
  const changed = points.reduce((sum, point) => sum + point[measure], 0n) - billed;
  return {
    charts: [
      typesChart(total.by_type, measure),
      monthChart({ found, points, now }, measure),
      ...limitsChart(limits, month),
    ],
    notes: closing && changed !== 0n ? [...notes, daysNote(changed, measure)] : notes,
  };
}

/** Days of a closed month are not locked. */
function daysNote(changed: bigint, measure: Dimension): string {
  const amount = measure === 'bytes' ? formatBytes(changed) : plural(changed, 'event');
  return `The days are as metered now: ${changed > 0n ? '+' : ''}${amount} since the month was closed, not on this bill.`;
}

function billingReport(its: Bill, now: Date): Report {
  const { found, invoices: made, adjustments, closing } = its;
  const { tenantId, month, total } = found;
  const names = tenantsOn(its);
  const ahead = now < month.period.start;
  const open = !ahead && !closing && now < month.period.end;
  const [only] = names.length === 1 ? names : ['all tenants'];
  const usage = [
    `${made.length > 0 ? 'Metered' : 'Total'}: ${plural(total.total_events, 'event')}${total.millions_of_events > 0 ? ` (${total.millions_of_events} million)` : ''}, ${formatBytes(total.total_bytes)} stored`,
    ...(open
      ? [`Projected for the whole month at this pace: ${plural(total.projected_events, 'event')}`]
      : []),
  ];
  // A quota that is set today is not that of a month that is over.
  const limits = open || found.limits.length > 0 ? alertLines(found) : [];
  const invoice = made.length > 0 ? invoiceLines(made, { several: names.length > 1 }) : undefined;
  const state = ahead ? ', not begun yet' : open ? ', still open' : closing ? ', closed' : '';
  return {
    data: billJson(its),
    ...usageLines(its),
    title: `Bill of ${tenantId ?? only}, ${month.name} (UTC)${state}${asOfWords(found.asOf)}`,
    ...invoice,
    notes: [
      ...(invoice ? [...(invoice.notes ?? []), ...withoutPlan(found, made)] : []),
      ...(total.total_events === 0n ? ['No events in this month.'] : usage),
      ...adjustmentNotes(adjustments),
      ...limits,
    ],
  };
}

/** The totals by type, and what earlier months are billed for once more, where no plan makes lines of it. */
function usageLines({ found, adjustments }: Bill): Pick<Report, 'rows' | 'columns'> {
  const late = adjustmentRows(adjustments);
  const rows = found.tenants.flatMap(({ tenant_id, by_type }) =>
    by_type.map((type) => ({ tenant_id, ...type, ...(late.length > 0 && { late_of: null }) })),
  );
  const tenants = new Set([...found.tenants, ...late].map(({ tenant_id }) => tenant_id));
  return {
    rows: [...rows, ...late],
    columns: [
      ...(tenants.size > 1 ? [{ key: 'tenant_id', title: 'Tenant', kind: 'text' } as const] : []),
      { key: 'event_type', title: 'Type', kind: 'text' },
      ...(late.length > 0 ? [{ key: 'late_of', title: 'Late, of', kind: 'text' } as const] : []),
      { key: 'events', title: 'Events', kind: 'count' },
      { key: 'bytes', title: 'Stored bytes', kind: 'bytes' },
    ],
  };
}

/** Tenants that are named where others have a plan and they have none; of more, the number is given. */
const MOST_NAMED = 10;

function withoutPlan({ tenants }: Billing, made: readonly Invoice[]): string[] {
  const billed = new Set(made.map(({ tenant }) => tenant));
  const names = tenants.map(({ tenant_id }) => tenant_id).filter((name) => !billed.has(name));
  if (names.length === 0) return [];
  const rest = names.length - MOST_NAMED;
  const more = rest > 0 ? ` and ${rest} more` : '';
  return [`Without a plan: ${names.slice(0, MOST_NAMED).join(', ')}${more}; infrasage plans assign NAME`];
}
