import type { Command } from 'commander';
import { type Backtest, backtest, backtestJson } from '../billing/backtest.ts';
import { EXIT, usageError } from '../errors.ts';
import { type Decimal, decimal } from '../plans/money.ts';
import { plural } from '../render/text.ts';
import type { Act } from './command.ts';
import { readPlanFile } from './plan-file.ts';

/** Months that are looked back at, at most: ten years. */
const MOST_MONTHS = 120;
/** Tenants over --max-change that are named; of more, the number is given. */
const MOST_NAMED = 10;

/** `billing backtest`. */
export function configure(command: Command, act: Act): void {
  const test = command
    .command('backtest')
    .description('Bill the last whole months once more by another plan, and compare, tenant by tenant.')
    .option('--plan <file>', 'the plan to be tried (YAML); nothing is stored')
    .option('--months <count>', 'how many months before the current one', '12')
    .option(
      '--max-change <percent>',
      'exit 1 where a tenant would pay more or less by over so many per cent',
    );
  act<{ plan?: string; months: string; maxChange?: string }>(test, async (context, options) => {
    const months = monthCount(options.months);
    const limit = options.maxChange === undefined ? undefined : maxChange(options.maxChange);
    // The command above has an option of this name, and takes what is given here.
    const { plan: above, ...others } = command.opts<{ plan?: string }>();
    const [other] = Object.keys(others);
    if (other !== undefined) throw usageError(`backtest does not take the options of billing: ${other}`);
    const file = options.plan ?? above;
    if (file === undefined) throw usageError('backtest needs the plan to be tried', 'give --plan FILE');
    const { plan } = await readPlanFile(file);
    const store = await context.store();
    const tenantId = context.config.tenant ?? null;
    const found = await backtest(store, { tenantId, plan, months, now: context.now });
    const json = backtestJson(found, limit);
    await context.print({
      data: json,
      rows: json.tenants.map((row) => ({ ...row, currency: found.currency })),
      columns: [
        { key: 'tenant_id', title: 'Tenant', kind: 'text' },
        { key: 'months', title: 'Months', kind: 'count' },
        { key: 'old', title: 'Old', kind: 'number' },
        { key: 'new', title: 'New', kind: 'number' },
        { key: 'difference', title: 'Difference', kind: 'number' },
        { key: 'change_percent', title: 'Change %', kind: 'number' },
        { key: 'currency', title: 'Currency', kind: 'text', whole: true },
      ],
      title: `Plan ${found.plan} on ${[...new Set([json.months[0], json.months.at(-1)])].join(' to ')} (UTC)`,
      notes: notesOf(found, json),
    });
    return json.over.length > 0 ? EXIT.finding : EXIT.ok;
  });
}

function notesOf({ tenants }: Backtest, json: ReturnType<typeof backtestJson>): string[] {
  const { total, currency, quantiles, skipped, over } = json;
  const named = over.slice(0, MOST_NAMED).join(', ');
  const rest = over.length - MOST_NAMED;
  return [
    `Total: ${total.old} ${currency} would be ${total.new} (${signed(total.difference)}${total.change_percent === null ? '' : `, ${signed(total.change_percent)} %`})`,
    ...(quantiles
      ? [
          `Changes: ${Object.entries(quantiles)
            .map(([name, percent]) => `${name} ${percent} %`)
            .join(', ')}`,
          ...json.buckets.filter((bucket) => bucket.tenants > 0).map(bucketWords),
        ]
      : []),
    ...(tenants.length === 0
      ? ['Nothing to compare: no month of a tenant has a plan in this currency.']
      : []),
    ...(skipped.no_plan > 0 ? [`Not compared: ${months(skipped.no_plan)} without a plan`] : []),
    ...(skipped.other_currency > 0
      ? [`Not compared: ${months(skipped.other_currency)} billed in another currency`]
      : []),
    ...(over.length > 0
      ? [`Over ${json.max_change_percent} %: ${named}${rest > 0 ? ` and ${rest} more` : ''}`]
      : []),
  ];
}

function bucketWords({
  from_percent: from,
  to_percent: to,
  tenants,
}: ReturnType<typeof backtestJson>['buckets'][0]) {
  const range =
    from === 0 && to === 0
      ? 'unchanged'
      : from === null
        ? `below ${to} %`
        : to === null
          ? `over ${from} %`
          : `${from} to ${to} %`;
  return `  ${range}: ${plural(tenants, 'tenant')}`;
}

function months(count: number): string {
  return plural(count, 'month of a tenant', 'months of tenants');
}

function signed(amount: string): string {
  return amount.startsWith('-') ? amount : `+${amount}`;
}

function monthCount(text: string): number {
  const count = Number(text);
  if (!/^\d{1,3}$/.test(text) || count < 1 || count > MOST_MONTHS) {
    throw usageError(`--months ${text} is not a number of months`, `1 to ${MOST_MONTHS}`);
  }
  return count;
}

function maxChange(text: string): Decimal {
  if (!/^\d{1,6}(\.\d{1,2})?%?$/.test(text)) {
    throw usageError(`--max-change ${text} is not a percentage`, 'write it like 10 or 2.5');
  }
  return decimal(text.replace('%', ''));
}
