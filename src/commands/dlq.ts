import type { Context } from '../context.ts';
import type { Violation } from '../ingest/contract.ts';
import { fromFault } from '../ingest/fault-place.ts';
import { explain, tooLong } from '../ingest/judge.ts';
import { isoTime } from '../period.ts';
import { jsonText } from '../render/json.ts';
import type { Column, Report, Row } from '../render/report.ts';
import { excerpt, formatCount, plural } from '../render/text.ts';
import { contractOf, type FoundLetter, findLetter, type Replayed } from '../reports/dead-letter.ts';
import {
  type DeadLetter,
  groupLetters,
  type LetterFilter,
  type LetterGroup,
  listLetters,
} from '../reports/dead-letters.ts';
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
import * as purging from './dlq-purge.ts';
import * as replaying from './dlq-replay.ts';

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
            `One in full: ${context.commandLine('dlq show EXAMPLE', { tenant: false })}`,
            `All of a cause: ${context.commandLine(`dlq list --each --error CODE${filter.state === 'open' ? '' : ` --state ${filter.state ?? 'all'}`}`)}`,
          ],
  };
  return { report, shown, total: groupCount };
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
            `Why one was rejected, in full: ${context.commandLine('dlq show ID', { tenant: false })}`,
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

const EXCERPT_LENGTH = 60;

function excerptOf({ raw, error }: Pick<DeadLetter, 'raw' | 'error'>): string {
  return excerpt(fromFault(raw, error, EXCERPT_LENGTH), EXCERPT_LENGTH);
}

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

function letterCells(letter: DeadLetter): Row {
  return {
    id: letter.id,
    received_at: isoTime(letter.receivedAt),
    tenant_id: letter.tenantId || null,
    error: letter.error,
    message: letter.message,
    source: letter.source,
    line: letter.line,
    state: letter.state,
    excerpt: excerptOf(letter),
  };
}

const VIOLATION_COLUMNS: readonly Column[] = [
  { key: 'code', title: 'Rule', kind: 'text', whole: true },
  { key: 'path', title: 'Where', kind: 'text' },
  { key: 'found', title: 'Found', kind: 'text' },
  { key: 'expected', title: 'Expected', kind: 'text' },
];

function letterReport({ letter, origin, replayed, replayOf }: FoundLetter, context: Context): Report {
  const contract = contractOf(origin, letter.receivedAt);
  // A line that was cut cannot be judged again: what it was rejected for is known.
  const cut = origin.sentBytes > letter.raw.length;
  const violations = cut ? [tooLong(origin.sentBytes, contract)] : explain(letter.raw, contract);
  const raw = isUtf8(letter.raw)
    ? { raw: letter.raw.toString(), raw_base64: null }
    : { raw: null, raw_base64: letter.raw.toString('base64') };
  const about = { ...letterCells(letter), ...raw, bytes: origin.sentBytes, replay_of: replayOf ?? null };
  return {
    data: { ...about, replayed: replayed ? replayedJson(replayed) : null, violations },
    rows: (violations.length > 0 ? violations : [undefined]).map((violation) => ({
      ...about,
      ...violationCells(violation),
    })),
    columns: [
      { key: 'id', title: 'Id', kind: 'text' },
      { key: 'received_at', title: 'Received', kind: 'text' },
      { key: 'tenant_id', title: 'Tenant', kind: 'text' },
      { key: 'error', title: 'Error', kind: 'text' },
      { key: 'message', title: 'Message', kind: 'text' },
      { key: 'source', title: 'Source', kind: 'text' },
      { key: 'line', title: 'Line', kind: 'count' },
      { key: 'state', title: 'State', kind: 'text' },
      { key: 'raw', title: 'As sent', kind: 'text' },
      { key: 'raw_base64', title: 'As sent, base64', kind: 'text' },
      { key: 'bytes', title: 'Bytes', kind: 'count' },
      { key: 'replay_of', title: 'Replay of', kind: 'text' },
      ...VIOLATION_COLUMNS,
    ],
    tableColumns: VIOLATION_COLUMNS,
    wrap: true,
    // Of what is not JSON, the reader here knows more than the engine's.
    title: `Dead letter ${letter.id}: ${violations.find(({ code }) => code === 'invalid_json')?.message ?? letter.message}`,
    notes: [
      `Source: ${letter.source === '-' ? 'standard input' : letter.source}, line ${formatCount(letter.line)}, received ${isoTime(letter.receivedAt)}`,
      ...(letter.tenantId ? [`Tenant: ${letter.tenantId}`] : []),
      `As sent (${plural(origin.sentBytes, 'byte')}${cut ? `, the first ${formatCount(letter.raw.length)} were kept` : ''}): ${excerpt(letter.raw.toString(), 2000)}`,
      ...(replayOf ? [`It is ${replayOf}, replayed and rejected again.`] : []),
      ...(replayed ? [replayedWords(replayed, context)] : []),
      ...(cut ? ['It cannot be replayed: not all of it was kept.'] : []),
    ],
  };
}

function violationCells(violation: Violation | undefined): Row {
  const { code = null, path = null, found = null, expected = null } = violation ?? {};
  return { code, path, found, expected };
}

function replayedJson({ at, changes, batchId, event, rejectedAs }: Replayed) {
  return {
    at: isoTime(at),
    changes,
    batch_id: batchId,
    event: event
      ? {
          tenant_id: event.tenantId,
          event_type: event.eventType,
          service_id: event.serviceId,
          timestamp: isoTime(event.timestamp),
          bytes_received: event.bytes,
        }
      : null,
    rejected_as: rejectedAs ?? null,
  };
}

function replayedWords({ at, changes, event, rejectedAs }: Replayed, context: Context): string {
  const fields = Object.entries(changes).map(([field, value]) => `${field}=${jsonText(value)}`);
  const how = `Replayed ${isoTime(at)}${fields.length > 0 ? ` with ${fields.join(', ')}` : ''}`;
  if (!event)
    return `${how}, and rejected again: ${context.commandLine(`dlq show ${rejectedAs}`, { tenant: false })}`;
  return `${how}: it is the ${event.eventType} of ${event.serviceId} of ${event.tenantId} at ${isoTime(event.timestamp)}, ${plural(event.bytes, 'byte')}`;
}

function isUtf8(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString('utf8')).equals(bytes);
}
