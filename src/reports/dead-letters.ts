import { z } from 'zod';
import { shortId } from '../store/batch-id.ts';
import { type Params, type Store, sqlTime, uint64, utcTime } from '../store/store.ts';

/** open: not sent again yet; replayed: sent again, in a batch that counts. */
export const LETTER_STATES = ['open', 'replayed'] as const;
export type LetterState = (typeof LETTER_STATES)[number];

export interface DeadLetter {
  /** Names it in `dlq show`: the start of its batch's key, the attempt, and its line. */
  id: string;
  receivedAt: Date;
  /** Empty where it is not known. */
  tenantId: string;
  error: string;
  message: string;
  /** The line as sent; of a line that is too long, its start. */
  raw: Buffer;
  source: string;
  /** Number of the line in the source, from 1. */
  line: bigint;
  batchId: string;
  state: LetterState;
}

export const letterRow = z
  .object({
    id: z.string(),
    received_at: utcTime,
    tenant_id: z.string(),
    error: z.string(),
    message: z.string(),
    raw: z.string(),
    source: z.string(),
    line: uint64,
    batch_id: z.string(),
    replayed: z.coerce.boolean(),
  })
  .transform(
    (row): DeadLetter => ({
      id: row.id,
      receivedAt: row.received_at,
      tenantId: row.tenant_id,
      error: row.error,
      message: row.message,
      raw: Buffer.from(row.raw, 'base64'),
      source: row.source,
      line: row.line,
      batchId: row.batch_id,
      state: row.replayed ? 'replayed' : 'open',
    }),
  );

/** Batch and line of each letter that was sent again in a batch that counts. */
export const REPLAYED = replayed('1');

/** The same of some letters: a condition on letter_batch. */
function replayed(which: string): string {
  return `SELECT r.letter_batch, r.letter_line FROM {{db}}.infrasage_dlq_replays AS r
  WHERE ${which} AND (r.previous_key, r.key) IN (SELECT b.previous_key, b.key FROM {{db}}.infrasage_ingest_batches AS b
    WHERE b.state = 'committed'
      AND b.previous_key IN (SELECT p.previous_key FROM {{db}}.infrasage_dlq_replays AS p WHERE ${which}))`;
}

function idOf(name: string): string {
  return `concat(${shortId(`toString(${name}batch_id)`)}, '-', toString(${name}line))`;
}

/** The id of a letter. */
export const LETTER_ID = idOf('d.');
// base64, so that any bytes survive the way through JSON
export const LETTER = `${LETTER_ID} AS id, received_at, tenant_id, error, message, base64Encode(raw) AS raw, source, d.line AS line, batch_id,
  (toString(batch_id), d.line) IN (${REPLAYED}) AS replayed`;

/** Which dead letters; null for all. */
export interface LetterFilter {
  tenantId: string | null;
  error: string | null;
  /** As the operator named it; `-` for standard input. */
  source: string | null;
  /** Received then or later. */
  since: Date | null;
  /** Received before. */
  until: Date | null;
  state: LetterState | null;
  /** Only those of these ids. */
  ids?: readonly string[];
}

/** What an id that people type is made of; undefined where it is none. */
export function idParts(id: string): { key: string; attempt: string; line: string } | undefined {
  const [, key, attempt, line] = /^([0-9a-f]{12})\.(\d+)-(\d+)$/.exec(id) ?? [];
  return key === undefined || attempt === undefined || line === undefined
    ? undefined
    : { key, attempt, line };
}

/**
 * A condition on infrasage_dlq, and what is bound in it.
 * @param options.name what the table is called in the statement, with a dot; empty where it has no other name
 * @param options.replays a condition on letter_batch that the replays of all letters that are asked for fulfil, so
 *   that no others are read
 */
export function letterCondition(
  { tenantId, error, source, since, until, state, ids }: LetterFilter,
  { name = 'd.', replays = '1' }: { name?: string; replays?: string } = {},
): { where: string; params: Params } {
  const where = [
    '1',
    ...(tenantId === null ? [] : [`${name}tenant_id = {tenant:String}`]),
    ...(error === null ? [] : [`${name}error = {error:String}`]),
    ...(source === null ? [] : [`${name}source = {source:String}`]),
    ...(since === null ? [] : [`${name}received_at >= toDateTime64({since:String}, 3, 'UTC')`]),
    ...(until === null ? [] : [`${name}received_at < toDateTime64({until:String}, 3, 'UTC')`]),
    // Between the first and the last key, so that the others are not read.
    ...(ids === undefined
      ? []
      : [
          `${name}batch_id >= {first_key:String} AND substring(${name}batch_id, 1, 12) <= {last_key:String}`,
          `${idOf(name)} IN {ids:Array(String)}`,
        ]),
    ...(state === null
      ? []
      : [
          `(toString(${name}batch_id), ${name}line) ${state === 'open' ? 'NOT IN' : 'IN'} (${replayed(replays)})`,
        ]),
  ].join(' AND ');
  const keys = (ids ?? []).map((id) => idParts(id)?.key ?? '').sort();
  return {
    where,
    params: {
      ids: [...(ids ?? [])],
      first_key: keys[0] ?? '',
      last_key: keys.at(-1) ?? '',
      tenant: tenantId ?? '',
      error: error ?? '',
      source: source ?? '',
      since: sqlTime(since ?? new Date(0)),
      until: sqlTime(until ?? new Date(0)),
    },
  };
}

/** Dead letters, newest first, up to a limit, and how many there are in all. */
export async function listLetters(
  store: Store,
  filter: LetterFilter,
  limit: number,
): Promise<{ letters: DeadLetter[]; total: bigint }> {
  const { where, params } = letterCondition(filter);
  const letters = await store.query(
    `SELECT ${LETTER} FROM {{db}}.infrasage_dlq AS d WHERE ${where}
    ORDER BY received_at DESC, source, d.line LIMIT {limit:UInt64}`,
    letterRow,
    { ...params, limit },
  );
  const [count] = await store.query(
    `SELECT count() AS total FROM {{db}}.infrasage_dlq AS d WHERE ${where}`,
    z.object({ total: uint64 }),
    params,
  );
  return { letters, total: count?.total ?? 0n };
}

/** What has become of the letters of these ids; those that there are none of are left out. */
export async function letterStates(store: Store, ids: readonly string[]): Promise<Map<string, LetterState>> {
  const all = { tenantId: null, error: null, source: null, since: null, until: null, state: null };
  const { letters } = await listLetters(store, { ...all, ids }, ids.length);
  return new Map(letters.map(({ id, state }) => [id, state]));
}

/** Dead letters of one cause, source and tenant. */
export interface LetterGroup {
  error: string;
  source: string;
  /** Empty where it is not known. */
  tenantId: string;
  letters: bigint;
  firstReceivedAt: Date;
  lastReceivedAt: Date;
  /** The newest of them. */
  example: Pick<DeadLetter, 'id' | 'raw'>;
}

const groupRow = z.object({
  error: z.string(),
  source: z.string(),
  tenant_id: z.string(),
  letters: uint64,
  first_at: utcTime,
  last_at: utcTime,
  example_batch: z.string(),
  example_line: z.string(),
  total: uint64,
  groups: uint64,
});

/**
 * Dead letters by cause, source and tenant, most letters first.
 * @returns up to so many groups; how many groups and letters there are in all
 */
export async function groupLetters(
  store: Store,
  filter: LetterFilter,
  limit: number,
): Promise<{ groups: LetterGroup[]; groupCount: bigint; total: bigint }> {
  const { where, params } = letterCondition(filter);
  const found = await store.query(
    `SELECT *, sum(letters) OVER () AS total, count() OVER () AS groups FROM (
      SELECT toString(d.error) AS error, toString(d.source) AS source, toString(d.tenant_id) AS tenant_id, count() AS letters,
        min(d.received_at) AS first_at, max(d.received_at) AS last_at,
        argMax((toString(d.batch_id), toString(d.line)), (d.received_at, toString(d.batch_id), d.line)) AS newest,
        newest.1 AS example_batch, newest.2 AS example_line
      FROM {{db}}.infrasage_dlq AS d WHERE ${where}
      GROUP BY error, source, tenant_id
    ) ORDER BY letters DESC, error, source, tenant_id LIMIT {limit:UInt64}`,
    groupRow,
    { ...params, limit },
  );
  const examples = await store.query(
    `SELECT ${LETTER} FROM {{db}}.infrasage_dlq AS d
    WHERE batch_id IN {batches:Array(String)} AND concat(toString(batch_id), ' ', toString(d.line)) IN {places:Array(String)}`,
    letterRow,
    {
      batches: [...new Set(found.map((row) => row.example_batch))],
      places: found.map((row) => `${row.example_batch} ${row.example_line}`),
    },
  );
  return {
    groups: found.flatMap((row) => {
      const example = examples.find(
        ({ batchId, line }) => batchId === row.example_batch && String(line) === row.example_line,
      );
      // Removed since it was counted.
      if (!example) return [];
      return {
        error: row.error,
        source: row.source,
        tenantId: row.tenant_id,
        letters: row.letters,
        firstReceivedAt: row.first_at,
        lastReceivedAt: row.last_at,
        example,
      };
    }),
    groupCount: found[0]?.groups ?? 0n,
    total: found[0]?.total ?? 0n,
  };
}
