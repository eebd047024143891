import type { Context } from '../context.ts';
import { isoTime } from '../period.ts';
import type { Column, Report, Row } from '../render/report.ts';
import { formatCount, plural } from '../render/text.ts';
import { findLetter } from '../reports/dead-letter.ts';
import {
  type DeadLetter,
  groupLetters,
  type LetterFilter,
  type LetterGroup,
  listLetters,
} from '../reports/dead-letters.ts';
import { shellWord } from '../settings/place.ts';
import type { Store } from '../store/store.ts';
import { parseLimit } from './amounts.ts';
import { type CommandModule, examples } from './command.ts';
import * as exporting from './dlq-export.ts';
import {
  type FilterOptions,
  filterOptions,
  letterFilter,
  noLetter,
  parseState,
  stateOption,
} from './dlq-filter.ts';
import { excerptOf, letterCells } from './dlq-letter.ts';
import * as purging from './dlq-purge.ts';
import * as replaying from './dlq-replay.ts';
import { letterReport } from './dlq-show.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  examples(command, [
    'infrasage dlq list',
    'infrasage dlq list --each --error invalid_json --since 24h',
    'infrasage dlq show 3fa9c1d20b7e.1-17',
    'infrasage dlq replay --error missing_service_id --set service_id=checkout-api --dry-run',
    'infrasage dlq export --error invalid_json > fix.ndjson',
    'infrasage dlq purge --older-than 90d',
  ]);
  const list = stateOption(filterOptions(command.command('list')))
    .description('Dead letters by cause, source and tenant, with an example of each.')
    .option('--each', 'a row a letter, newest first')
    .option('--limit <rows>', 'print this many', '20');
  examples(list, [
    'infrasage dlq list',
    'infrasage dlq list --each --error invalid_timestamp',
    'infrasage dlq list --state replayed --since 7d',
  ]);
  act<FilterOptions & { each?: boolean; state: string; limit: string }>(
    list,
    async (context, { each = false, state, limit, ...options }) => {
      const filter = { ...letterFilter(context, options), state: parseState(state) };
      const rows = parseLimit(limit);
      const store = await context.store();
      const { report, shown, total } = await (each ? eachLetter : byCause)(context, store, filter, rows);
      if (total > shown && context.config.format !== 'table') {
        await context.say(
          `${shown} of ${total} ${each ? 'dead letters' : 'groups'}; raise --limit to see them all`,
        );
      }
      return context.print(report);
    },
  );
  const show = command
    .command('show <id>')
    .description('A dead letter: its exact bytes, every rule it breaks, and what has become of it.');
  examples(show, ['infrasage dlq show 3fa9c1d20b7e.1-17', 'infrasage dlq show 3fa9c1d20b7e.1-17 --json']);
  act<object, [string]>(show, async (context, _, id) => {
    const found = await findLetter(await context.store(), id);
    if (!found) {
      throw noLetter([id]);
    }
    return context.print(letterReport(found, context));
  });
  exporting.configure(command, act);
  replaying.configure(command, act);
  purging.configure(command, act);
};

interface Listing {
  report: Report;
  shown: bigint;
  total: bigint;
}

async function byCause(
  context: Context,
  store: Store,
  filter: LetterFilter,
  limit: number,
): Promise<Listing> {
  const { groups, groupCount, total } = await groupLetters(store, filter, limit);
  const shown = BigInt(groups.length);
  const rows = groups.map(groupCells);
  const report = {
    data: { total, groups: rows },
    rows,
    columns: [...GROUP_COLUMNS, EXCERPT],
    // There is no room for it.
    tableColumns: GROUP_COLUMNS,
    notes:
      total === 0n
        ? [NONE[filter.state ?? 'all']]
        : [
            groupCount > shown
              ? `${plural(total, 'dead letter')}, ${formatCount(shown)} of ${formatCount(groupCount)} groups of them; --limit shows more.`
              : plural(total, 'dead letter'),
            ...groups.slice(0, 1).flatMap((first) => nextSteps(context, first, filter)),
          ],
  };
  return { report, shown, total: groupCount };
}

/** What to ask next, by the first group. */
function nextSteps(context: Context, { example, error }: LetterGroup, { state }: LetterFilter): string[] {
  const all = state === 'open' ? '' : ` --state ${state ?? 'all'}`;
  return [
    `An example in full: ${context.commandLine(`dlq show ${example.id}`, { tenant: false })}`,
    `All of a cause: ${context.commandLine(`dlq list --each --error ${shellWord(error)}${all}`)}`,
  ];
}

async function eachLetter(
  context: Context,
  store: Store,
  filter: LetterFilter,
  limit: number,
): Promise<Listing> {
  const { letters, total } = await listLetters(store, filter, limit);
  const shown = BigInt(letters.length);
  const rows = letters.map(letterCells);
  const report = {
    data: { total, letters: rows },
    rows,
    columns: LETTER_COLUMNS,
    ...ofOneSource(letters),
    notes:
      total === 0n
        ? [NONE[filter.state ?? 'all']]
        : [
            total > shown
              ? `${formatCount(shown)} of ${plural(total, 'dead letter')}; --limit shows more.`
              : plural(total, 'dead letter'),
            ...letters.slice(0, 1).map(({ id }) => {
              const next = context.commandLine(`dlq show ${id}`, { tenant: false });
              return `Why one was rejected, in full: ${next}`;
            }),
          ],
  };
  return { report, shown, total };
}

/** Letters of one source have it in the title: it takes the room of what tells them apart. */
function ofOneSource(letters: readonly DeadLetter[]): Pick<Report, 'title' | 'tableColumns'> {
  const [source, ...others] = new Set(letters.map((letter) => letter.source));
  if (source === undefined || others.length > 0) return {};
  return {
    title: `Dead letters of ${source === '-' ? 'standard input' : source}`,
    tableColumns: LETTER_COLUMNS.filter(({ key }) => key !== 'source'),
  };
}

const NONE = {
  open: 'No open dead letters.',
  replayed: 'No dead letters that were replayed.',
  all: 'No dead letters.',
};

const EXCERPT: Column = { key: 'excerpt', title: 'As sent', kind: 'text' };

const GROUP_COLUMNS: readonly Column[] = [
  { key: 'error', title: 'Error', kind: 'text', whole: true },
  { key: 'source', title: 'Source', kind: 'text' },
  { key: 'tenant_id', title: 'Tenant', kind: 'text' },
  { key: 'letters', title: 'Letters', kind: 'count' },
  { key: 'example', title: 'Example', kind: 'text', whole: true },
];

function groupCells(group: LetterGroup): Row {
  return {
    error: group.error,
    source: group.source,
    tenant_id: group.tenantId || null,
    letters: group.letters,
    first_received_at: isoTime(group.firstReceivedAt),
    last_received_at: isoTime(group.lastReceivedAt),
    example: group.example.id,
    excerpt: excerptOf({ ...group.example, error: group.error }),
  };
}

const LETTER_COLUMNS: readonly Column[] = [
  { key: 'id', title: 'Id', kind: 'text', whole: true },
  { key: 'error', title: 'Error', kind: 'text', whole: true },
  { key: 'tenant_id', title: 'Tenant', kind: 'text' },
  { key: 'source', title: 'Source', kind: 'text' },
  { key: 'line', title: 'Line', kind: 'count' },
  EXCERPT,
];
