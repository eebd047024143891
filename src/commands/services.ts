import { parseAsOf, parsePeriod } from '../period.ts';
import { usage } from '../reports/usage.ts';
import { parseLimit } from './amounts.ts';
import { asOfOption } from './as-of.ts';
import { type CommandModule, examples } from './command.ts';
import { sayIfUnknown } from './unknown-tenant.ts';
import { usageReport } from './usage.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  command
    .option('--since <time>', 'start: a span (90m, 24h, 7d, 2w), a date, or RFC 3339', '7d')
    .option('--until <time>', 'end, not included: as --since, or now; without it, there is none')
    .option('--limit <rows>', 'print this many services, largest first', '20')
    .addOption(asOfOption());
  examples(command, [
    'infrasage services --since 7d --limit 20',
    'infrasage services --tenant acme-corp --json',
  ]);
  act<ServicesOptions>(command, async (context, { since, until, limit, asOf: time }) => {
    const asOf = parseAsOf(time, context.now);
    const rows = parseLimit(limit);
    const tenantId = context.config.tenant ?? null;
    const store = await context.store();
    const found = await usage(store, {
      tenantId,
      period: parsePeriod(since, until, asOf ?? context.now),
      groupBy: 'service_id',
      limit: rows,
      asOf,
    });
    if (found.omitted > 0 && context.config.format !== 'table') {
      await context.say(`${rows} of ${rows + found.omitted} rows; raise --limit to see them all`);
    }
    await sayIfUnknown(context, { store, tenantId, events: found.totalEvents });
    return context.print(usageReport(found));
  });
};

interface ServicesOptions {
  since: string;
  until?: string;
  limit: string;
  asOf?: string;
}
