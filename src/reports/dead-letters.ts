import { z } from 'zod';
import { isoTime, type Period } from '../period.ts';
import { shortId } from '../store/batch-id.ts';
import { type Store, sqlTime, uint64, utcTime } from '../store/store.ts';

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
}

const letterRow = z
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
    }),
  );

const ID = `concat(${shortId('toString(batch_id)')}, '-', toString(d.line))`;
// base64, so that any bytes survive the way through JSON
const LETTER = `${ID} AS id, received_at, tenant_id, error, message, base64Encode(raw) AS raw, source, d.line AS line, batch_id`;

export interface LetterFilter {
  tenantId: string | null;
  error: string | null;
  since: Date | null;
}

/** Dead letters, newest first, up to a limit, and how many there are in all. */
export async function listLetters(
  store: Store,
  { tenantId, error, since, limit }: LetterFilter & { limit: number },
): Promise<{ letters: DeadLetter[]; total: bigint }> {
  const where = [
    '1',
    ...(tenantId === null ? [] : ['tenant_id = {tenant:String}']),
    ...(error === null ? [] : ['error = {error:String}']),
    ...(since === null ? [] : [`received_at >= toDateTime64({since:String}, 3, 'UTC')`]),
  ].join(' AND ');
  const params = { tenant: tenantId ?? '', error: error ?? '', since: sqlTime(since ?? new Date(0)), limit };
  const letters = await store.query(
    `SELECT ${LETTER} FROM {{db}}.infrasage_dlq AS d WHERE ${where}
    ORDER BY received_at DESC, source, d.line LIMIT {limit:UInt64}`,
    letterRow,
    params,
  );
  const [count] = await store.query(
    `SELECT count() AS total FROM {{db}}.infrasage_dlq WHERE ${where}`,
    z.object({ total: uint64 }),
    params,
  );
  return { letters, total: count?.total ?? 0n };
}

/**
 * One dead letter by its id; undefined where there is none. With the options its line was validated with,
 * JSON, and the tenant that the line was bound to, null where it was to none.
 */
export async function findLetter(
  store: Store,
  id: string,
): Promise<{ letter: DeadLetter; options: string | undefined; boundTo: string | null } | undefined> {
  const [, key, attempt, line] = /^([0-9a-f]{12})\.(\d+)-(\d+)$/.exec(id) ?? [];
  if (key === undefined || attempt === undefined || line === undefined) return undefined;
  const [letter] = await store.query(
    `SELECT ${LETTER} FROM {{db}}.infrasage_dlq AS d
    WHERE batch_id >= {key:String} AND startsWith(batch_id, {key:String}) AND endsWith(batch_id, {attempt:String})
      AND d.line = {line:UInt64} LIMIT 1`,
    letterRow,
    { key, attempt: `#${attempt}`, line },
  );
  if (!letter) return undefined;
  const [batch] = await store.query(
    `SELECT options, JSONExtract(bindings, 'Array(Tuple(line UInt64, tenant Nullable(String)))') AS ranges,
      arrayLast(r -> r.line <= {line:UInt64}, ranges).tenant AS bound_to
    FROM {{db}}.infrasage_ingest_batches WHERE batch_id = {batch:String} LIMIT 1`,
    z.object({ options: z.string(), bound_to: z.string().nullable() }),
    { batch: letter.batchId, line },
  );
  return { letter, options: batch?.options, boundTo: batch?.bound_to ?? null };
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

/** The JSON shape of a cause. */
export function causeJson({ error, lines, lastReceivedAt }: Cause) {
  return { error, lines, last_received_at: isoTime(lastReceivedAt) };
}
