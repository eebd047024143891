import { z } from 'zod';
import { isoTime, type Period } from '../period.ts';
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

/** The id of a letter. */
export const LETTER_ID = `concat(${shortId('toString(batch_id)')}, '-', toString(d.line))`;
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
}

/**
 * A condition on infrasage_dlq, and what is bound in it.
 * @param options.name what the table is called in the statement, with a dot; empty where it has no other name
 * @param options.replays a condition on letter_batch that the replays of all letters that are asked for fulfil, so
 *   that no others are read
 */
export function letterCondition(
  { tenantId, error, source, since, until, state }: LetterFilter,
  { name = 'd.', replays = '1' }: { name?: string; replays?: string } = {},
): { where: string; params: Params } {
  const where = [
    '1',
    ...(tenantId === null ? [] : [`${name}tenant_id = {tenant:String}`]),
    ...(error === null ? [] : [`${name}error = {error:String}`]),
    ...(source === null ? [] : [`${name}source = {source:String}`]),
    ...(since === null ? [] : [`${name}received_at >= toDateTime64({since:String}, 3, 'UTC')`]),
    ...(until === null ? [] : [`${name}received_at < toDateTime64({until:String}, 3, 'UTC')`]),
    ...(state === null
      ? []
      : [
          `(toString(${name}batch_id), ${name}line) ${state === 'open' ? 'NOT IN' : 'IN'} (${replayed(replays)})`,
        ]),
  ].join(' AND ');
  return {
    where,
    params: {
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

/** How many lines were rejected for one reason. */
export interface Cause {
  /** The error code. */
  error: string;
  lines: bigint;
  /** When the last of them was received. */
  lastReceivedAt: Date;
}

const causeRow = z
  .object({ known: z.coerce.boolean(), error: z.string(), lines: uint64, last: utcTime })
  .transform(({ known, error, lines, last }) => ({ known, cause: { error, lines, lastReceivedAt: last } }));

/**
 * The dead letters that a period received, of a tenant or of all (null), by cause, most lines first.
 * @param wanted.unknownToo whether those that name no tenant are counted too, apart
 */
export async function countLetters(
  store: Store,
  { tenantId, period, unknownToo }: { tenantId: string | null; period: Period; unknownToo: boolean },
): Promise<{ ofTenant: Cause[]; ofNone: Cause[] }> {
  const known = tenantId === null ? `tenant_id != ''` : 'tenant_id = {tenant:String}';
  const tenants = unknownToo ? `(tenant_id = '' OR ${known})` : known;
  const found = await store.query(
    `SELECT tenant_id != '' AS known, error, count() AS lines, max(received_at) AS last
    FROM {{db}}.infrasage_dlq
    WHERE ${tenants} AND received_at >= toDateTime64({start:String}, 3, 'UTC')
      ${period.open ? '' : `AND received_at < toDateTime64({end:String}, 3, 'UTC')`}
    GROUP BY known, error ORDER BY lines DESC, error`,
    causeRow,
    { tenant: tenantId ?? '', start: sqlTime(period.start), end: sqlTime(period.end) },
  );
  const causes = (named: boolean) => found.filter((row) => row.known === named).map(({ cause }) => cause);
  return { ofTenant: causes(true), ofNone: causes(false) };
}

/** How many of the dead letters that a period received, of a tenant or of all (null), were sent again and count now. */
export async function countReplayed(
  store: Store,
  { tenantId, period: { start, end, open } }: { tenantId: string | null; period: Period },
): Promise<bigint> {
  const { where, params } = letterCondition({
    tenantId,
    error: null,
    source: null,
    since: start,
    until: open ? null : end,
    state: 'replayed',
  });
  const [count] = await store.query(
    `SELECT count() AS total FROM {{db}}.infrasage_dlq AS d WHERE ${where}`,
    z.object({ total: uint64 }),
    params,
  );
  return count?.total ?? 0n;
}

/** The JSON shape of a cause. */
export function causeJson({ error, lines, lastReceivedAt }: Cause) {
  return { error, lines, last_received_at: isoTime(lastReceivedAt) };
}
