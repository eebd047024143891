import { text } from 'node:stream/consumers';
import { usageError } from '../errors.ts';
import { jsonText } from '../render/json.ts';
import type { Cell, Report } from '../render/report.ts';
import { plural } from '../render/text.ts';
import { type Answer, ask } from '../reports/question.ts';
import { parseLimit } from './amounts.ts';
import { type CommandModule, examples, refuseExcess } from './command.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  command
    .argument('[statement]', 'a SELECT, SHOW, DESCRIBE or EXPLAIN; without it, or with -, standard input')
    .option(
      '--param <name=value>',
      'a value for {name:Type} in the statement; may be given again',
      (pair: string, all: readonly string[] | undefined) => [...(all ?? []), pair],
    )
    .option('--limit <rows>', 'print this many rows at most', '1000');
  const refuse = refuseExcess(
    command,
    (words) => `put the statement in quotes: infrasage sql "${words.join(' ')}"`,
  );
  examples(command, [
    'infrasage sql "SELECT event_type, sum(event_count) AS events FROM infrasage_usage_metering GROUP BY event_type"',
    `infrasage sql "SELECT count() FROM infrasage_raw_firehose WHERE tenant_id = {t:String}" --param t=acme-corp`,
    'infrasage sql "DESCRIBE infrasage_raw_firehose" --format markdown',
    'infrasage sql --json < question.sql',
  ]);
  act<{ param?: string[]; limit: string }, [string?]>(command, async (context, options, statement) => {
    refuse();
    const { stdin } = context.io;
    const isPiped = statement === '-' || (statement === undefined && !stdin.isTTY);
    const sql = isPiped ? await text(stdin) : (statement ?? '');
    if (sql.trim() === '') throw usageError('there is no statement', 'infrasage sql "SELECT …"');
    const params = Object.fromEntries((options.param ?? []).map(parameter));
    const limit = parseLimit(options.limit);
    const answer = await ask(await context.store(), { sql, params, limit });
    const words = `${plural(answer.rows.length, 'row')}; there are more, raise --limit to see them`;
    if (answer.more && context.config.format !== 'table') await context.say(words);
    return context.print(answerReport(answer, words));
  });
};

function parameter(pair: string): [string, string] {
  const [, name, value] = /^([A-Za-z_]\w*)=(.*)$/s.exec(pair) ?? [];
  if (name === undefined || value === undefined)
    throw usageError(`--param ${pair} is not name=value`, 'infrasage sql "… {t:String}" --param t=acme-corp');
  return [name, value];
}

function answerReport({ columns, rows, more }: Answer, moreWords: string): Report {
  const objects = rows.map((row) => Object.fromEntries(columns.map(({ name }, i) => [name, row[i]])));
  return {
    data: { columns, rows: objects, more },
    rows: objects.map((row) =>
      Object.fromEntries(Object.entries(row).map(([name, value]) => [name, cell(value)])),
    ),
    columns: columns.map(({ name, type }) => ({
      key: name,
      title: name,
      kind: NUMERIC.test(type) ? 'number' : 'text',
    })),
    records: true,
    notes: [more ? moreWords : rows.length === 0 ? 'No rows.' : `${plural(rows.length, 'row')}.`],
  };
}

const NUMERIC = /^(Nullable\(|LowCardinality\()*(U?Int\d|Float\d|BFloat|Decimal)/;

/** Lists, maps and tuples as JSON. */
function cell(value: unknown): Cell {
  if (value === null || value === undefined) return null;
  return typeof value === 'object' ? jsonText(value) : (value as Cell);
}
