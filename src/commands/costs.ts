import { type Costs, costCells, costsJson, costsOf, type TenantCosts, WEIGHTS } from '../billing/costs.ts';
import { FOCUS_COLUMNS, focusRows, refuseReservedTag } from '../billing/focus.ts';
import { parseStoragePrice } from '../billing/storage-price.ts';
import type { Context } from '../context.ts';
import { usageError } from '../errors.ts';
import { parseAsOf, parseMonth } from '../period.ts';
import { amountText, priceText } from '../plans/money.ts';
import type { Column, Report } from '../render/report.ts';
import { plural } from '../render/text.ts';
import { parseGrouping } from '../reports/grouping.ts';
import { GROUPS } from '../reports/groups.ts';
import { shellWord } from '../settings/place.ts';
import { asOfOption, asOfWords } from './as-of.ts';
import { type CommandModule, examples, oneOf } from './command.ts';
import { groupColumns } from './group-label.ts';
import { readPlanFile } from './plan-file.ts';
import { sayIfUnknown } from './unknown-tenant.ts';

interface CostsOptions {
  by: string;
  month?: string | true;
  weight: string;
  storagePrice?: string;
  currency?: string;
  plan?: string;
  asOf?: string;
  provider?: string;
}

export const configure: CommandModule['configure'] = (command, act) => {
  command
    .description(
      `${command.description()} --format focus-csv writes the columns of FOCUS 1.2, for FinOps tools.`,
    )
    .addOption(
      oneOf('--by <grouping>', 'what each row is about, or attributes.KEY', GROUPS).default('service_id'),
    )
    .option('--month [YYYY-MM]', 'the month, UTC; without a value, the current one')
    .addOption(
      oneOf('--weight <weight>', 'shared in proportion to stored bytes or events', WEIGHTS).default('bytes'),
    )
    .option('--plan <file>', 'the bill by the price plan of this file (YAML), without storing it')
    .option(
      '--storage-price <price>',
      'in the place of the bill: a price for each GB (10^9 bytes) stored and month',
    )
    .option('--currency <code>', 'of --storage-price, like EUR (ISO 4217)')
    .addOption(asOfOption())
    .option('--provider <name>', 'who bills, for focus-csv; default InfraSage');
  examples(command, [
    'infrasage costs --by service_id --month 2026-10',
    'infrasage costs --by attributes.team --weight events',
    'infrasage costs --month 2026-10 --plan plan.yaml',
    'infrasage costs --month 2026-10 --as-of 2026-11-02',
    'infrasage costs --by attributes.team --storage-price 0.35 --currency EUR',
    'infrasage costs --month 2026-10 --format focus-csv > focus-2026-10.csv',
  ]);
  act<CostsOptions>(command, async (context, options) => {
    const groupBy = parseGrouping(options.by, GROUPS);
    if (context.config.format === 'focus-csv') refuseReservedTag(groupBy);
    const weight = WEIGHTS.find((word) => word === options.weight);
    if (!weight)
      throw usageError(`--weight ${options.weight} is not a weight`, `use one of ${WEIGHTS.join(', ')}`);
    const storage = parseStoragePrice(options.storagePrice, options.currency, {
      price: '--storage-price',
      currency: '--currency',
    });
    if (storage && options.plan !== undefined)
      throw usageError('--plan and --storage-price are two prices', 'leave one of them out');
    const provider = providerName(options.provider, context);
    const { now } = context;
    const asOf = parseAsOf(options.asOf, now);
    const month = parseMonth(options.month === true ? undefined : options.month, asOf ?? now);
    const plan = options.plan === undefined ? undefined : (await readPlanFile(options.plan)).plan;
    const tenantId = context.config.tenant ?? null;
    const store = await context.store();
    const found = await costsOf(store, {
      ...{ tenantId, month, now, groupBy, weight, storage, plan, asOf },
    });
    const events = found.tenants.flatMap(({ rows }) => rows).reduce((sum, row) => sum + row.events, 0n);
    if (found.withoutPlan.length + found.billedLater.length === 0)
      await sayIfUnknown(context, { store, tenantId, events });
    await refuseWithoutBill(context, found);
    return context.print(
      context.config.format === 'focus-csv' ? focusReport(found, provider) : costsReport(found, asOf ?? now),
    );
  });
};

/** @throws InfrasageError (exit 2) where it would be of no use */
function providerName(given: string | undefined, { config }: Context): string {
  if (given === undefined) return 'InfraSage';
  if (config.format !== 'focus-csv')
    throw usageError('--provider goes with --format focus-csv', 'leave it out');
  if (given.trim() === '') throw usageError('--provider is empty', 'give the name of who bills');
  return given;
}

/** @throws InfrasageError (exit 2) where there is usage and no bill of it */
async function refuseWithoutBill(context: Context, found: Costs): Promise<void> {
  const { tenants, withoutPlan, billedLater, month } = found;
  const [later] = billedLater;
  if (later) {
    const whose = named(billedLater.map(({ tenant }) => tenant));
    const bills = [...new Set(billedLater.map(({ on }) => on))].sort().join(', ');
    const reason = `nothing was billed to ${whose} for ${month.name} when it was closed; it is an adjustment on the bill of ${bills}`;
    if (tenants.length + withoutPlan.length === 0)
      throw usageError(reason, `infrasage costs --month ${later.on} --tenant ${shellWord(later.tenant)}`);
    await context.say(`${reason}: left out`);
  }
  if (withoutPlan.length === 0) return;
  const reason = `no price plan is in force for ${named(withoutPlan)} in ${month.name}`;
  if (tenants.length === 0) {
    throw usageError(
      `${reason}: there is no bill to share`,
      'infrasage plans assign, or --storage-price 0.35 --currency EUR',
    );
  }
  await context.say(`${reason}: left out`);
}

function named([first = '', ...others]: readonly string[]): string {
  return others.length === 0 ? first : `${first} and ${plural(others.length, 'other tenant')}`;
}

function costsReport(found: Costs, now: Date): Report {
  const { tenantId, month, open, groupBy, tenants, weight } = found;
  const several = tenants.length > 1;
  const state = now < month.period.start ? ', not begun yet' : open ? ', still open' : '';
  const columns = groupColumns(groupBy, { tenants: true, kinds: true });
  const figures: Column[] = [
    { key: 'events', title: 'Events', kind: 'count' },
    { key: 'bytes', title: 'Stored bytes', kind: 'bytes' },
    { key: 'amount', title: 'Amount', kind: 'number' },
    { key: 'currency', title: 'Currency', kind: 'text', whole: true },
  ];
  const unattributed = tenants.some(({ rows }) => rows.some(({ kind }) => kind === 'unattributed'));
  return {
    data: costsJson(found),
    rows: tenants.flatMap(({ bill, rows }) =>
      rows.map((row) => ({ tenant_id: bill.tenant, ...costCells(row, groupBy, bill) })),
    ),
    columns: [...columns.columns, ...figures],
    tableColumns: [...groupColumns(groupBy, { tenants: several, kinds: true }).tableColumns, ...figures],
    title: `Costs of ${tenantId ?? (several ? 'all tenants' : (tenants[0]?.bill.tenant ?? 'all tenants'))}, ${month.name} (UTC)${state}${asOfWords(found.asOf)}, shared by ${weight}`,
    notes:
      tenants.length === 0
        ? ['No events in this month.']
        : [
            ...(unattributed
              ? [
                  '(unattributed): what weighs nothing, or is metered and its raw events were removed by their age.',
                ]
              : []),
            ...tenants.flatMap((tenant) => totals(tenant, several)),
          ],
  };
}

/** What a tenant's shares add up to, and what that is made of. */
function totals({ bill }: TenantCosts, several: boolean): string[] {
  const { tenant, currency, basis, parts, total } = bill;
  const money = (amount: typeof total) => `${amountText(amount, bill)} ${currency}`;
  const by =
    basis.kind === 'plan'
      ? `the bill by plan ${basis.name}${basis.version === null ? ' (only tried)' : ` version ${basis.version}`}`
      : `${priceText(basis.price, bill)} ${currency} for each GB (10^9 bytes) stored and month`;
  const late = parts.filter(({ kind }) => kind === 'adjustment');
  return [
    `Total${several ? ` of ${tenant}` : ''}: ${money(total)}, ${by}`,
    ...late.map(({ month, amount }) => `  of it ${money(amount)} for late events of ${month}`),
  ];
}

/** Columns of FOCUS that hold numbers. */
const NUMBERS = /(Cost|Quantity)$/;

function focusReport(found: Costs, provider: string): Report {
  return {
    data: null,
    rows: focusRows(found, provider),
    columns: FOCUS_COLUMNS.map((key) => ({ key, title: key, kind: NUMBERS.test(key) ? 'number' : 'text' })),
  };
}
