import type { Command } from 'commander';
import { type ExplainWanted, explain } from '../billing/explain.ts';
import { ORDERS, SPANS } from '../billing/trace.ts';
import type { Context } from '../context.ts';
import { type ExitStatus, usageError } from '../errors.ts';
import type { Month } from '../period.ts';
import type { Plan } from '../plans/plan.ts';
import { parseLimit } from './amounts.ts';
import { explanationReport } from './billing-origin.ts';
import { oneOf } from './command.ts';

export interface ExplainOptions {
  explain?: string;
  by?: string;
  sort?: string;
  limit?: string;
}

/** Options of the bill that say nothing of where its figures come from. */
interface OtherOptions {
  chart?: string | true;
  asOf?: string;
}

/** The options of an explanation, beside the month. */
export function explainOptions(command: Command): Command {
  return command
    .option(
      '--explain <line>',
      'where a line of an invoice, or an event type, comes from: hours, batches, sources',
    )
    .addOption(oneOf('--by <span>', 'hours (default) or days of what is explained', SPANS))
    .addOption(oneOf('--sort <order>', 'its largest first (default), or in time order', ORDERS))
    .option('--limit <rows>', 'hours and batches of it to print (default 20)');
}

/** What is to be explained, and how. */
type Way = Pick<ExplainWanted, 'name' | 'tenantId' | 'by' | 'order' | 'limit'>;

/**
 * What is to be explained; undefined where nothing is.
 * @throws InfrasageError (exit 2) where an option is wrong or goes with none, or it is not said of which tenant
 */
export function explainWay(options: ExplainOptions & OtherOptions, { config }: Context): Way | undefined {
  const { explain: name, by = 'hour', sort = 'size', limit = '20' } = options;
  if (name === undefined) {
    const alone = (['by', 'sort', 'limit'] as const).find((option) => options[option] !== undefined);
    if (alone)
      throw usageError(`--${alone} goes with --explain`, 'infrasage billing --month --explain metric');
    return undefined;
  }
  if (options.chart !== undefined)
    throw usageError('--chart does not go with --explain', 'leave one of them out');
  if (options.asOf !== undefined) {
    throw usageError(
      '--as-of does not go with --explain, which traces what is metered now',
      'leave one of them out; of a closed month, --explain says what is not on its bill',
    );
  }
  const span = SPANS.find((one) => one === by);
  if (!span) throw usageError(`--by ${by} is not a span`, `use one of ${SPANS.join(', ')}`);
  const order = ORDERS.find((one) => one === sort);
  if (!order) throw usageError(`--sort ${sort} is not an order`, `use one of ${ORDERS.join(', ')}`);
  const { tenant: tenantId } = config;
  if (tenantId === undefined) {
    throw usageError(
      '--explain needs the tenant whose bill it is',
      `infrasage billing --month --explain ${name} --tenant acme-corp`,
    );
  }
  return { name, tenantId, by: span, order, limit: parseLimit(limit) };
}

/** Prints where a line comes from. */
export async function printExplanation(
  context: Context,
  { month, plan, ...way }: Way & { month: Month; plan: Plan | undefined },
): Promise<ExitStatus> {
  const found = await explain(await context.store(), { ...way, month, plan, now: context.now });
  const { origin } = found;
  if ((origin?.times.omitted || origin?.batches.omitted) && context.config.format !== 'table')
    await context.say('some hours and batches are shown as sums; raise --limit to see them all');
  return context.print(explanationReport(found));
}
