import { z } from 'zod';
import type { Period } from '../period.ts';
import { type Extract, type FileFormat, type Params, type Store, sqlTime, uint64 } from '../store/store.ts';
import { LETTER_ID, letterCondition, REPLAYED } from './dead-letters.ts';
import { usage } from './usage.ts';

/** What can be had as a file: metered hours, events, dead letters. */
export const SUBJECTS = ['usage', 'firehose', 'dlq'] as const;
export type Subject = (typeof SUBJECTS)[number];

export interface Wanted {
  /** null: all tenants. */
  tenantId: string | null;
  /** Of usage and events, the hours that start in it; of dead letters, when they were received. */
  period: Period;
}

/** What the tables hold of what is wanted. */
export interface Holding {
  /** Rows that the file has. */
  rows: bigint;
  /** Events and compressed bytes as `usage` reports them; undefined of dead letters. */
  metered?: { events: bigint; bytes: bigint };
}

/** What a column holds: text is never trusted, a time is a DateTime or DateTime64, a map one of texts. */
interface Field {
  name: string;
  sql: string;
  kind: 'text' | 'time' | 'number' | 'map';
}

const text = (name: string, sql = `toString(${name})`): Field => ({ name, sql, kind: 'text' });
const time = (name: string, sql = name): Field => ({ name, sql, kind: 'time' });
const number = (name: string, sql = name): Field => ({ name, sql, kind: 'number' });

const USAGE_FIELDS = [
  text('tenant_id'),
  time('hour'),
  text('event_type'),
  number('events'),
  number('bytes'),
  number('bytes_received'),
];
const EVENT_FIELDS = [
  text('tenant_id'),
  time('timestamp'),
  text('event_type'),
  text('service_id'),
  text('metric_name'),
  number('value'),
  text('body'),
  text('trace_id'),
  { name: 'attributes', sql: `CAST(attributes, 'Map(String, String)')`, kind: 'map' },
  text('extra'),
  number('bytes_received'),
  number('bytes_ingested'),
  time('ingested_at'),
] as const satisfies Field[];
const LETTER_FIELDS = [
  text('id', LETTER_ID),
  time('received_at'),
  text('tenant_id'),
  text('error'),
  text('message'),
  text('source'),
  number('line', 'd.line'),
  text('state', `if((toString(batch_id), d.line) IN (${REPLAYED}), 'replayed', 'open')`),
];
/** A Parquet file takes any bytes; the others have them as `dlq show` does. */
const RAW_FIELDS: Record<FileFormat, Field[]> = {
  parquet: [text('raw', 'd.raw')],
  csv: textOrBase64(),
  ndjson: textOrBase64(),
};

function textOrBase64(): Field[] {
  return [
    text('raw', 'if(isValidUTF8(d.raw), d.raw, NULL)'),
    text('raw_base64', 'if(isValidUTF8(d.raw), NULL, base64Encode(d.raw))'),
  ];
}

/** The statement that gives the rows of a subject as a file of some form has them. */
export function extractOf(subject: Subject, wanted: Wanted, format: FileFormat): Extract {
  const { from, params } = rowsOf(subject, wanted);
  const columns = fieldsOf(subject, format).map((field) => `${cell(field, format)} AS _${field.name}`);
  const names = fieldsOf(subject, format).map(({ name }) => `_${name} AS ${name}`);
  return {
    // Two levels: a name that is given in the inner one is not to be taken for a column there.
    sql: `SELECT ${names.join(', ')} FROM (SELECT ${columns.join(', ')} ${from})`,
    params,
    format,
    binary: subject === 'dlq',
  };
}

/** What there is of a subject at this moment. */
export async function holding(store: Store, subject: Subject, wanted: Wanted): Promise<Holding> {
  const { from, params } = rowsOf(subject, wanted);
  const [counted] = await store.query(
    `SELECT count() AS rows FROM (SELECT 1 ${from})`,
    z.object({ rows: uint64 }),
    params,
  );
  const rows = counted?.rows ?? 0n;
  if (subject === 'dlq') return { rows };
  const { totalEvents, totalBytes } = await usage(store, { ...wanted, groupBy: 'event_type' });
  return { rows, metered: { events: totalEvents, bytes: totalBytes } };
}

function fieldsOf(subject: Subject, format: FileFormat): readonly Field[] {
  if (subject === 'usage') return USAGE_FIELDS;
  return subject === 'firehose' ? EVENT_FIELDS : [...LETTER_FIELDS, ...RAW_FIELDS[format]];
}

/** The rows of a subject: FROM and what follows it. */
function rowsOf(subject: Subject, { tenantId, period }: Wanted): { from: string; params: Params } {
  if (subject === 'dlq') {
    const { start, end, open } = period;
    const filter = {
      tenantId,
      error: null,
      source: null,
      since: start,
      until: open ? null : end,
      state: null,
    };
    const { where, params } = letterCondition(filter);
    return { from: `FROM {{db}}.infrasage_dlq AS d WHERE ${where}`, params };
  }
  const params = { start: sqlTime(period.start), end: sqlTime(period.end), tenant: tenantId ?? '' };
  const where = (hour: string) =>
    [
      `${hour} >= toDateTime64({start:String}, 3, 'UTC')`,
      ...(period.open ? [] : [`${hour} < toDateTime64({end:String}, 3, 'UTC')`]),
      ...(tenantId === null ? [] : ['tenant_id = {tenant:String}']),
    ].join(' AND ');
  if (subject === 'firehose') {
    return {
      from: `FROM {{db}}.infrasage_raw_firehose WHERE ${where('toStartOfHour(timestamp)')}`,
      params,
    };
  }
  // In the order of the table's key, so that no more than a group is held in memory.
  return {
    from: `FROM (SELECT tenant_id, hour, event_type, sum(m.event_count) AS events, sum(m.bytes_ingested) AS bytes,
        sum(m.bytes_received) AS bytes_received
      FROM {{db}}.infrasage_usage_metering AS m WHERE ${where('hour')}
      GROUP BY tenant_id, hour, event_type ORDER BY tenant_id, hour, event_type
      SETTINGS optimize_aggregation_in_order = 1)`,
    params,
  };
}

/** What starts a formula in a spreadsheet: what render/csv.ts defuses too. */
const FORMULA = `('=', '+', '-', '@', '\\t', '\\r', '\\n', '＝', '＋', '－', '＠')`;

/** A column's value in a form. Parquet and NDJSON have it exactly; of a text in CSV, what would be run is put behind a '. */
function cell({ sql, kind }: Field, format: FileFormat): string {
  if (format === 'parquet' && kind === 'time') return `toDateTime64(${sql}, 3, 'UTC')`;
  if (format !== 'csv' || kind === 'time' || kind === 'number') return sql;
  const shown = kind === 'map' ? `toJSONString(${sql})` : sql;
  return `if(substringUTF8(${shown}, 1, 1) IN ${FORMULA}, concat('''', ${shown}), ${shown})`;
}
