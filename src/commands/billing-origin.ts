import { type Charged, type Explanation, explanationJson } from '../billing/explain.ts';
import {
  FIGURES,
  type Figure,
  type Figures,
  less,
  type Order,
  type Origin,
  type Span,
  type Unattributed,
} from '../billing/trace.ts';
import { isoTime } from '../period.ts';
import { amountText, priceText } from '../plans/money.ts';
import type { Cell, Column, Report, Row, Section } from '../render/report.ts';
import { formatBytes, formatCount, plural } from '../render/text.ts';
import { shortBatchId } from '../store/batch-id.ts';

const FIGURE_COLUMNS = [
  { key: 'events', title: 'Events', kind: 'count' },
  { key: 'bytes_ingested', title: 'Stored bytes', kind: 'bytes' },
  { key: 'bytes_received', title: 'Received bytes', kind: 'bytes' },
] as const satisfies readonly Column[];
const SORTED: Record<Order, string> = { size: 'largest first', time: 'in time order' };

/** Where a line of a bill comes from, as it is printed. */
export function explanationReport(found: Explanation): Report {
  const { wanted, charged, origin, notBilled } = found;
  const { name, tenantId, month, by } = wanted;
  const lines = charged ? lineRows(charged) : [];
  const types = origin && charged && origin.types.length > 1 ? typeRows(origin) : [];
  const times = origin ? timeRows(origin, by) : [];
  const batches = origin ? batchRows(origin) : [];
  const late = origin && FIGURES.some((figure) => notBilled[figure] !== 0n) ? [lateRow(found)] : [];
  const sections = [
    lineSection(charged, lines),
    { title: 'Types, largest first', rows: types, columns: [shown('Type'), ...figureColumns(charged)] },
    ...sourceSections(found, { times: [...times, ...late], batches: [...batches, ...late] }),
  ];
  return {
    data: explanationJson(found),
    rows: [...lines, ...types, ...times, ...batches, ...late].map(withoutShown),
    columns: [
      { key: 'part', title: 'Part', kind: 'text' },
      { key: 'name', title: 'Name', kind: 'text' },
      { key: 'source', title: 'Source', kind: 'text' },
      { key: 'received_at', title: 'Received at', kind: 'text' },
      ...(origin ? FIGURE_COLUMNS : []),
      ...(charged ? MONEY_COLUMNS : []),
    ],
    sections: sections.filter(({ rows }) => rows.length > 0),
    title: `${name} on the bill of ${tenantId}, ${month.name} (UTC)`,
    notes: notesOf(found),
  };
}

/** A row, what a table has in the place of its name, and the time it has to the second. */
type PartRow = Row & { shown: Cell; received: Cell };

function partRow(
  {
    part,
    name = null,
    shown: words = name,
    source = null,
    receivedAt = null,
  }: {
    part: string;
    name?: string | null;
    shown?: string | null;
    source?: string | null;
    receivedAt?: Date | null;
  },
  figures: Readonly<Record<string, Cell>>,
): PartRow {
  const received = receivedAt && `${receivedAt.toISOString().slice(0, 19)}Z`;
  return {
    part,
    name,
    shown: words,
    source,
    received,
    received_at: receivedAt && isoTime(receivedAt),
    ...figures,
  };
}

function withoutShown({ shown: _, received: __, ...row }: PartRow): Row {
  return row;
}

function figuresOf({ events, bytes_ingested, bytes_received }: Figures): Record<Figure, bigint> {
  return { events, bytes_ingested, bytes_received };
}

const shown = (title: string): Column => ({ key: 'shown', title, kind: 'text', whole: true });

/** All figures of a type; of a charge those that it is of. */
function figureColumns(charged: Charged | null): Column[] {
  return FIGURE_COLUMNS.filter(({ key }) => !charged || key === charged.dimension);
}

const MONEY_COLUMNS: Column[] = [
  { key: 'quantity', title: 'Quantity', kind: 'count' },
  { key: 'per', title: 'Per', kind: 'count' },
  { key: 'unit_price', title: 'Unit price', kind: 'number' },
  { key: 'amount', title: 'Amount', kind: 'number' },
  { key: 'currency', title: 'Currency', kind: 'text' },
];

function lineRows({ invoice, lines }: Charged): PartRow[] {
  const { currency } = invoice;
  return lines.map((line) =>
    partRow(
      { part: 'line', name: line.id },
      {
        ...{ description: line.text, quantity: line.quantity, per: line.per },
        unit_price: line.unitPrice && priceText(line.unitPrice, invoice),
        ...{ amount: amountText(line.amount, invoice), currency },
      },
    ),
  );
}

function lineSection(charged: Charged | null, rows: readonly PartRow[]): Section {
  const title = charged?.invoice.currency;
  return {
    title: charged?.dimension ? 'The charge' : 'The lines',
    rows,
    wrap: true,
    columns: [
      shown('Line'),
      { key: 'description', title: 'What', kind: 'text' },
      ...MONEY_COLUMNS.slice(0, 3),
      { key: 'amount', title: `Amount ${title}`, kind: 'number' },
    ],
  };
}

function typeRows({ types }: Origin): PartRow[] {
  return types.map(({ type, ...figures }) => partRow({ part: 'type', name: type }, figures));
}

function timeRows({ times }: Origin, by: Span): PartRow[] {
  const name = (start: Date) => (by === 'day' ? start.toISOString().slice(0, 10) : isoTime(start));
  const { omitted } = times;
  return [
    ...times.rows.map(({ start, ...figures }) => partRow({ part: by, name: name(start) }, figures)),
    ...(omitted
      ? [partRow({ part: `${by}s_omitted`, shown: plural(omitted.rows, `more ${by}`) }, figuresOf(omitted))]
      : []),
  ];
}

function batchRows({ batches, unattributed }: Origin): PartRow[] {
  const { omitted } = batches;
  return [
    ...batches.rows.map(({ batchId, source, receivedAt, ...figures }) =>
      batchId === null
        ? partRow(
            { part: 'no_batch', shown: 'no batch', source: 'written to the firehose by others' },
            figures,
          )
        : partRow(
            { part: 'batch', name: batchId, shown: shortBatchId(batchId), source, receivedAt },
            figures,
          ),
    ),
    ...(omitted
      ? [
          partRow(
            { part: 'batches_omitted', shown: plural(omitted.rows, 'more batch', 'more batches') },
            figuresOf(omitted),
          ),
        ]
      : []),
    ...(unattributed
      ? [
          partRow(
            { part: 'unattributed', shown: 'unattributed', source: WHY[unattributed.reason] },
            figuresOf(unattributed),
          ),
        ]
      : []),
  ];
}

/** What is not on this bill, with its sign turned: with it the sums are what was billed. */
function lateRow({ charged, notBilled, closed }: Explanation): PartRow {
  const figures = FIGURES.filter((figure) => !charged || figure === charged.dimension);
  return partRow(
    {
      ...{ part: 'not_billed', shown: 'not billed' },
      source: closed ? 'came after the closing' : 'came meanwhile',
    },
    Object.fromEntries(figures.map((figure) => [figure, -notBilled[figure]])),
  );
}

const WHY: Record<Unattributed['reason'], string> = {
  removed: 'raw rows removed',
  differs: 'metering and raw rows differ',
};

function sourceSections(
  { wanted, charged }: Explanation,
  { times, batches }: { times: PartRow[]; batches: PartRow[] },
): Section[] {
  const { by, order } = wanted;
  const figures = figureColumns(charged);
  return [
    {
      title: `${by === 'day' ? 'Days' : 'Hours'}, ${SORTED[order]}`,
      rows: times,
      columns: [shown(by === 'day' ? 'Day (UTC)' : 'Hour (UTC)'), ...figures],
    },
    {
      title: `Batches, ${SORTED[order]}`,
      rows: batches,
      columns: [
        shown('Batch'),
        { key: 'source', title: 'Source', kind: 'text' },
        { key: 'received', title: 'Received (UTC)', kind: 'text', whole: true },
        ...figures.slice(0, 2),
      ],
    },
  ];
}

function notesOf({ wanted, charged, origin, notBilled }: Explanation): string[] {
  const price = charged ? [priceNote(charged)] : [];
  if (!origin) return [...price, 'Nothing was metered for it: it is in the price plan.'];
  if (origin.times.rows.length === 0) return [...price, 'No events of it in this month.'];
  const spans = wanted.by === 'day' ? 'Days' : 'Hours';
  const billed = less(origin.total, notBilled);
  const whole =
    charged?.dimension && charged.quantity !== null
      ? quantityWords(charged.dimension, charged.quantity)
      : `${plural(billed.events, 'event')}, ${formatBytes(billed.bytes_ingested)} stored, ${formatBytes(billed.bytes_received)} received`;
  return [
    ...(origin.unattributed ? [unattributedNote(origin.unattributed)] : []),
    `${spans} and batches each add up to ${whole}.`,
    ...price,
  ];
}

function priceNote({ invoice, amount }: Charged): string {
  const { plan, currency } = invoice;
  return `Amount: ${amountText(amount, invoice)} ${currency}, by plan ${plan.name}${plan.version === null ? ' (only tried)' : `, version ${plan.version}`}`;
}

function quantityWords(dimension: Figure, quantity: bigint): string {
  if (dimension === 'events') return plural(quantity, 'event');
  const kind = dimension === 'bytes_ingested' ? 'stored' : 'received';
  return `${formatCount(quantity)} bytes ${kind} (${formatBytes(quantity)})`;
}

function unattributedNote({ reason, keptSince, events }: Unattributed): string {
  if (reason === 'differs')
    return `${plural(events, 'event')} unattributed: metering and raw rows differ; infrasage verify says where.`;
  const since = keptSince ? ` before ${isoTime(keptSince)}` : '';
  return `${plural(events, 'event')} unattributed: raw rows ingested${since} are past their retention, and with them which batches and sources these came from.`;
}
