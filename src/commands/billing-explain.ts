import type { Command } from 'commander';
import { type Explanation, explain, explanationJson } from '../billing/explain.ts';
import { type Figures, ORDERS, type Order, SPANS, type Span, type Unattributed } from '../billing/trace.ts';
import type { Context } from '../context.ts';
import { type ExitStatus, usageError } from '../errors.ts';
import { isoTime, type Month } from '../period.ts';
import type { Column, Report, Row } from '../render/report.ts';
import { formatBytes, plural } from '../render/text.ts';
import { shortBatchId } from '../store/batch-id.ts';
import { parseLimit } from './amounts.ts';
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
  plan?: string;
}

/** The options of an explanation, beside the month. */
export function explainOptions(command: Command): Command {
  return command
    .option('--explain <type>', 'where the figures of an event type come from: hours, batches, sources')
    .addOption(oneOf('--by <span>', 'hours (default) or days of what is explained', SPANS))
    .addOption(oneOf('--sort <order>', 'its largest first (default), or in time order', ORDERS))
    .option('--limit <rows>', 'hours and batches of it to print (default 20)');
}

/** What is to be explained, and how. */
interface Way {
  line: string;
  tenantId: string;
  by: Span;
  order: Order;
  limit: number;
}

/**
 * What is to be explained; undefined where nothing is.
 * @throws InfrasageError (exit 2) where an option is wrong or goes with none, or it is not said of which tenant
 */
export function explainWay(options: ExplainOptions & OtherOptions, { config }: Context): Way | undefined {
  const { explain: line, by = 'hour', sort = 'size', limit = '20' } = options;
  if (line === undefined) {
    const alone = (['by', 'sort', 'limit'] as const).find((name) => options[name] !== undefined);
    if (alone)
      throw usageError(`--${alone} goes with --explain`, 'infrasage billing --month --explain metric');
    return undefined;
  }
  const others = { '--chart': options.chart, '--as-of': options.asOf, '--plan': options.plan };
  for (const [name, value] of Object.entries(others))
    if (value !== undefined) throw usageError(`${name} does not go with --explain`, 'leave one of them out');
  const span = SPANS.find((name) => name === by);
  if (!span) throw usageError(`--by ${by} is not a span`, `use one of ${SPANS.join(', ')}`);
  const order = ORDERS.find((name) => name === sort);
  if (!order) throw usageError(`--sort ${sort} is not an order`, `use one of ${ORDERS.join(', ')}`);
  const { tenant: tenantId } = config;
  if (tenantId === undefined) {
    throw usageError(
      '--explain needs the tenant whose bill it is',
      `infrasage billing --month --explain ${line} --tenant acme-corp`,
    );
  }
  return { line, tenantId, by: span, order, limit: parseLimit(limit) };
}

/** Prints where the figures of a line come from. */
export async function printExplanation(
  context: Context,
  month: Month,
  { line, ...way }: Way,
): Promise<ExitStatus> {
  const found = await explain(await context.store(), line, { ...way, month });
  const { times, batches } = found.origin;
  if ((times.omitted || batches.omitted) && context.config.format !== 'table')
    await context.say('some hours and batches are shown as sums; raise --limit to see them all');
  return context.print(explanationReport(found));
}

const FIGURE_COLUMNS: readonly Column[] = [
  { key: 'events', title: 'Events', kind: 'count' },
  { key: 'bytes_ingested', title: 'Stored bytes', kind: 'bytes' },
  { key: 'bytes_received', title: 'Received bytes', kind: 'bytes' },
];
const SORTED: Record<Order, string> = { size: 'largest first', time: 'in time order' };

function explanationReport(found: Explanation): Report {
  const { wanted, type, origin } = found;
  const { tenantId, month, by, order } = wanted;
  const times = timeRows(found);
  const batches = batchRows(found);
  const spans = by === 'day' ? 'Days' : 'Hours';
  const empty = times.length === 0 && batches.length === 0;
  return {
    data: explanationJson(found),
    rows: [...times, ...batches].map(({ shown: _, received: __, ...row }) => row),
    columns: [
      { key: 'part', title: 'Part', kind: 'text' },
      { key: 'name', title: 'Name', kind: 'text' },
      { key: 'source', title: 'Source', kind: 'text' },
      { key: 'received_at', title: 'Received at', kind: 'text' },
      ...FIGURE_COLUMNS,
    ],
    sections: empty
      ? []
      : [
          {
            title: `${spans}, ${SORTED[order]}`,
            rows: times,
            columns: [
              { key: 'shown', title: by === 'day' ? 'Day (UTC)' : 'Hour (UTC)', kind: 'text', whole: true },
              ...FIGURE_COLUMNS,
            ],
          },
          {
            title: `Batches, ${SORTED[order]}`,
            rows: batches,
            columns: [
              { key: 'shown', title: 'Batch', kind: 'text', whole: true },
              { key: 'source', title: 'Source', kind: 'text' },
              { key: 'received', title: 'Received (UTC)', kind: 'text', whole: true },
              ...FIGURE_COLUMNS.slice(0, 2),
            ],
          },
        ],
    title: `${type} on the bill of ${tenantId}, ${month.name} (UTC)`,
    notes: empty
      ? [`No events of this type in this month.`]
      : [
          ...(origin.unattributed ? [unattributedNote(origin.unattributed)] : []),
          `${spans} and batches each add up to ${inWords(origin.total)}.`,
        ],
  };
}

function timeRows({ wanted, origin }: Explanation): Row[] {
  const { by } = wanted;
  const { rows, omitted } = origin.times;
  const name = (start: Date) => (by === 'day' ? start.toISOString().slice(0, 10) : isoTime(start));
  return [
    ...rows.map(({ start, ...figures }) => partRow({ part: by, name: name(start) }, figures)),
    ...(omitted
      ? [partRow({ part: `${by}s_omitted`, shown: plural(omitted.rows, `more ${by}`) }, omitted)]
      : []),
  ];
}

function batchRows({ origin }: Explanation): Row[] {
  const { batches, unattributed } = origin;
  return [
    ...batches.rows.map((batch) =>
      batch.batchId === null
        ? partRow({ part: 'no_batch', shown: 'no batch', source: 'written to the firehose by others' }, batch)
        : partRow(
            {
              part: 'batch',
              name: batch.batchId,
              shown: shortBatchId(batch.batchId),
              source: batch.source,
              receivedAt: batch.receivedAt,
            },
            batch,
          ),
    ),
    ...(batches.omitted
      ? [
          partRow(
            { part: 'batches_omitted', shown: plural(batches.omitted.rows, 'more batch', 'more batches') },
            batches.omitted,
          ),
        ]
      : []),
    ...(unattributed
      ? [
          partRow(
            { part: 'unattributed', shown: 'unattributed', source: WHY[unattributed.reason] },
            unattributed,
          ),
        ]
      : []),
  ];
}

const WHY: Record<Unattributed['reason'], string> = {
  removed: 'raw rows removed',
  differs: 'metering and raw rows differ',
};

/** @param labels.shown what a table has in the place of the name, as of the time to the second */
function partRow(
  {
    part,
    name = null,
    shown = name,
    source = null,
    receivedAt = null,
  }: {
    part: string;
    name?: string | null;
    shown?: string | null;
    source?: string | null;
    receivedAt?: Date | null;
  },
  { events, bytes_ingested, bytes_received }: Figures,
) {
  const figures = { events, bytes_ingested, bytes_received };
  const received = receivedAt && `${receivedAt.toISOString().slice(0, 19)}Z`;
  return { part, name, shown, source, received, received_at: receivedAt && isoTime(receivedAt), ...figures };
}

function unattributedNote({ reason, keptSince, events }: Unattributed): string {
  if (reason === 'differs')
    return `${plural(events, 'event')} unattributed: metering and raw rows differ; infrasage verify says where.`;
  const since = keptSince ? ` before ${isoTime(keptSince)}` : '';
  return `${plural(events, 'event')} unattributed: raw rows ingested${since} are past their retention, and with them which batches and sources these came from.`;
}

function inWords({ events, bytes_ingested, bytes_received }: Figures): string {
  return `${plural(events, 'event')}, ${formatBytes(bytes_ingested)} stored, ${formatBytes(bytes_received)} received`;
}
