import { z } from 'zod';
import { type ProcessIdentity, processIdentity, thisProcess } from '../store/process.ts';
import {
  type Binding,
  type LineOptions,
  lineOptions,
  type Params,
  type Reader,
  type Store,
  sqlTime,
  utcTime,
} from '../store/store.ts';
import type { Batch } from './batch.ts';
import type { KnownBatch } from './recognise.ts';
import type { BatchTotals } from './stored-rows.ts';

/** One attempt at a batch, as the ledger knows it. */
export interface LedgerEntry
  extends Pick<
    Batch,
    | 'key'
    | 'previousKey'
    | 'head'
    | 'bytes'
    | 'firstLine'
    | 'sourceLines'
    | 'lines'
    | 'crlf'
    | 'blank'
    | 'cut'
  > {
  batchId: string;
  attempt: number;
  source: string;
  /** Whether its input cannot be read again: then its spool file is kept until it is settled. */
  once: boolean;
  /** Bytes of its spool file. */
  spooled: number;
  owner: ProcessIdentity;
  options: LineOptions;
  bindings: readonly Binding[];
  /** ingested_at of every row of the batch: finds them without a scan. */
  receivedAt: Date;
}

/** This process as the owner of batches of a store. */
export function ownerIn({ manyHosts, spoolDir }: Pick<Store, 'manyHosts' | 'spoolDir'>): ProcessIdentity {
  return { ...thisProcess(), ...(manyHosts && { spool: spoolDir }) };
}

/** Writes the intent: durable before any row of the batch is. */
export async function recordIntent(store: Store, entry: LedgerEntry, now: Date): Promise<void> {
  await record(store, entry, { revision: 1, state: 'pending' }, now);
}

/** Writes that all rows of the batch are stored. From here on it counts as ingested. */
export async function recordCommit(
  store: Store,
  entry: LedgerEntry,
  totals: BatchTotals,
  now: Date,
): Promise<void> {
  const { accepted, rejected, bytesReceived, bytesIngested } = totals;
  const sums = { accepted, rejected, bytes_received: bytesReceived, bytes_ingested: bytesIngested };
  await record(store, entry, { revision: 2, state: 'committed', ...sums }, now);
}

/** Writes that no row of the batch is stored, and none will be under this attempt. */
export async function recordAbort(store: Store, entry: LedgerEntry, now: Date): Promise<void> {
  await record(store, entry, { revision: 2, state: 'aborted' }, now);
}

async function record(
  store: Store,
  entry: LedgerEntry,
  outcome: Record<string, string | number | bigint>,
  now: Date,
): Promise<void> {
  await store.insert('infrasage_ingest_batches', {
    batch_id: entry.batchId,
    key: entry.key,
    previous_key: entry.previousKey,
    head: entry.head,
    attempt: entry.attempt,
    source: entry.source,
    once: entry.once ? 1 : 0,
    spooled: entry.spooled,
    first_line: entry.firstLine,
    source_lines: entry.sourceLines,
    lines: entry.lines,
    bytes: entry.bytes,
    crlf: entry.crlf ? 1 : 0,
    blank: entry.blank ? 1 : 0,
    cut: JSON.stringify(entry.cut),
    owner: JSON.stringify(entry.owner),
    options: JSON.stringify(entry.options),
    bindings: JSON.stringify(entry.bindings),
    received_at: sqlTime(entry.receivedAt),
    recorded_at: sqlTime(now),
    ...outcome,
  });
}

const count = z.coerce.number().int();

/** Of the rows of a batch: some attempt has no outcome yet. Merges replace intents by outcomes, one attempt at a time. */
const PENDING = `uniqExact(attempt) > uniqExactIf(attempt, state != 'pending')`;

/** The batches after a key that start alike. Of several attempts at one, the last. */
export async function knownBatches(store: Store, previousKey: string, head: string): Promise<KnownBatch[]> {
  const batches = await store.query(
    `SELECT key, any(b.bytes) AS bytes, any(b.lines) AS lines, any(b.source_lines) AS sourceLines,
      countIf(b.state = 'committed') > 0 AS committed, max(b.attempt) AS last, ${PENDING} AS pending
    FROM {{db}}.infrasage_ingest_batches AS b
    WHERE previous_key = {previous_key:String} AND head = {head:String}
    GROUP BY key`,
    z.object({
      key: z.string(),
      bytes: count,
      lines: count,
      sourceLines: count,
      committed: z.coerce.boolean(),
      last: count,
      pending: z.coerce.boolean(),
    }),
    { previous_key: previousKey, head },
  );
  const open = batches.filter(({ committed, pending }) => !committed && !pending).map(({ key }) => key);
  const leading = await leadingOn(store, open);
  return batches.map(({ last, pending, ...batch }) => ({
    ...batch,
    attempt: last,
    fixed: !batch.committed && (pending || leading.has(batch.key)),
  }));
}

/**
 * Which of these keys a batch comes after that is committed, or may yet be, behind whatever was aborted: as many
 * batches as are under way at once may have failed before it.
 */
async function leadingOn(store: Store, keys: readonly string[]): Promise<Set<string>> {
  const leading = new Set<string>();
  /** Of what is looked behind, which of the keys it comes after: a batch has one before it. */
  let after = new Map(keys.map((key) => [key, key]));
  while (after.size > 0) {
    const next = await store.query(
      `SELECT previous_key AS previousKey, key, countIf(state = 'committed') > 0 OR ${PENDING} AS stays
      FROM {{db}}.infrasage_ingest_batches WHERE previous_key IN {keys:Array(String)} GROUP BY previous_key, key`,
      z.object({ previousKey: z.string(), key: z.string(), stays: z.coerce.boolean() }),
      { keys: [...after.keys()] },
    );
    const behind = new Map<string, string>();
    for (const { previousKey, key, stays } of next) {
      const origin = after.get(previousKey);
      if (origin === undefined) continue;
      if (stays) leading.add(origin);
      else behind.set(key, origin);
    }
    after = behind;
  }
  return leading;
}

/** The number of the next attempt at a batch. */
export async function nextAttempt(
  store: Store,
  { previousKey, key }: Pick<Batch, 'previousKey' | 'key'>,
): Promise<number> {
  const [found] = await store.query(
    `SELECT max(b.attempt) AS last FROM {{db}}.infrasage_ingest_batches AS b
    WHERE previous_key = {previous_key:String} AND key = {key:String}`,
    z.object({ last: count }),
    { previous_key: previousKey, key },
  );
  return (found?.last ?? 0) + 1;
}

/** Which of these keys are of committed batches. */
export async function committedKeys(
  store: Store,
  batches: readonly Pick<Batch, 'key' | 'previousKey'>[],
): Promise<Set<string>> {
  const rows = await store.query(
    `SELECT DISTINCT key FROM {{db}}.infrasage_ingest_batches
    WHERE previous_key IN {previous_keys:Array(String)} AND key IN {keys:Array(String)} AND state = 'committed'`,
    z.object({ key: z.string() }),
    {
      previous_keys: batches.map(({ previousKey }) => previousKey),
      keys: batches.map(({ key }) => key),
    },
  );
  return new Set(rows.map(({ key }) => key));
}

/**
 * The committed batches that are likely to come after a committed one: those
 * that were received since, of the same source first. Of each place in a chain
 * that is among them, all committed batches are.
 * @param limit most places in a chain
 */
export async function batchesSince(
  store: Store,
  key: string,
  limit: number,
): Promise<(KnownBatch & Pick<Batch, 'previousKey' | 'head'>)[]> {
  return store.query(
    `SELECT previous_key AS previousKey, head, key,
      any(b.bytes) AS bytes, any(b.lines) AS lines, any(b.source_lines) AS sourceLines, max(b.attempt) AS attempt
    FROM {{db}}.infrasage_ingest_batches AS b
    WHERE state = 'committed' AND (previous_key, head) IN (
      SELECT previous_key, head FROM {{db}}.infrasage_ingest_batches
      WHERE state = 'committed'
        AND received_at >= (SELECT min(received_at) FROM {{db}}.infrasage_ingest_batches WHERE state = 'committed' AND key = {key:String})
      GROUP BY previous_key, head
      ORDER BY countIf(source = (SELECT any(source) FROM {{db}}.infrasage_ingest_batches WHERE state = 'committed' AND key = {key:String})) = 0,
        min(received_at)
      LIMIT {limit:UInt32})
    GROUP BY previous_key, head, key`,
    z
      .object({
        previousKey: z.string(),
        head: z.string(),
        key: z.string(),
        bytes: count,
        lines: count,
        sourceLines: count,
        attempt: count,
      })
      .transform((row) => ({ ...row, committed: true, fixed: false })),
    { key, limit },
  );
}

const json = <T>(schema: z.ZodType<T>) => z.string().transform((text) => schema.parse(JSON.parse(text)));

const entryRow = z
  .object({
    batch_id: z.string(),
    key: z.string(),
    previous_key: z.string(),
    head: z.string(),
    attempt: count,
    source: z.string(),
    once: z.coerce.boolean(),
    spooled: count,
    first_line: count,
    source_lines: count,
    lines: count,
    bytes: count,
    crlf: z.coerce.boolean(),
    blank: z.coerce.boolean(),
    cut: json(z.array(z.object({ line: z.number(), length: z.number() }))),
    owner: json(processIdentity),
    options: json(lineOptions),
    bindings: json(z.array(z.object({ line: z.number(), tenant: z.string().nullable() }))),
    received_at: utcTime,
  })
  .transform(
    (row): LedgerEntry => ({
      batchId: row.batch_id,
      key: row.key,
      previousKey: row.previous_key,
      head: row.head,
      attempt: row.attempt,
      source: row.source,
      once: row.once,
      spooled: row.spooled,
      firstLine: row.first_line,
      sourceLines: row.source_lines,
      lines: row.lines,
      bytes: row.bytes,
      crlf: row.crlf,
      blank: row.blank,
      cut: row.cut,
      owner: row.owner,
      options: row.options,
      bindings: row.bindings,
      receivedAt: row.received_at,
    }),
  );

/**
 * The batches that were begun and of which it is not known what became: all of them, or those at a place.
 *
 * Merges replace the rows of intents, so few are left that have an outcome too, and only these are looked for by
 * their keys: 11 ms of CPU time in a ledger of 400,000 batches, 300 of them unmerged, where FINAL took 150.
 *
 * Begun ones are read before outcomes: read at once, on a cluster or without a snapshot of all that is read, one that
 * is committed in between would be taken for pending. So that answer is believed only where there is none, as there is
 * of most runs: a bill took 0.96 of the time then.
 */
export async function pendingBatches(
  store: Reader,
  place?: Pick<LedgerEntry, 'previousKey' | 'head'>,
): Promise<LedgerEntry[]> {
  const at = place ? 'AND previous_key = {previous_key:String} AND head = {head:String}' : '';
  const params: Params = place ? { previous_key: place.previousKey, head: place.head } : {};
  const pending = `FROM {{db}}.infrasage_ingest_batches WHERE state = 'pending' ${at}`;
  const [some] = await store.query(
    `SELECT 1 AS some ${pending} AND batch_id NOT IN (
      SELECT batch_id FROM {{db}}.infrasage_ingest_batches
      WHERE state != 'pending' AND previous_key IN (SELECT previous_key ${pending}))
    LIMIT 1`,
    z.object({ some: count }),
    params,
  );
  if (!some) return [];
  const begun = await store.query(
    `SELECT batch_id, key, previous_key, head, attempt, source, once, spooled, first_line, source_lines, lines, bytes, crlf, blank,
      cut, owner, options, bindings, received_at
    ${pending}
    ORDER BY received_at, batch_id
    LIMIT 1 BY batch_id`,
    entryRow,
    params,
  );
  const settled = new Set<string>();
  for (let i = 0; i < begun.length; i += PENDING_STEP) {
    const step = begun.slice(i, i + PENDING_STEP);
    const rows = await store.query(
      `SELECT batch_id FROM {{db}}.infrasage_ingest_batches
      WHERE state != 'pending' AND previous_key IN {previous_keys:Array(String)} AND batch_id IN {batch_ids:Array(String)}`,
      z.object({ batch_id: z.string() }),
      {
        previous_keys: [...new Set(step.map((entry) => entry.previousKey))],
        batch_ids: step.map((entry) => entry.batchId),
      },
    );
    for (const row of rows) settled.add(row.batch_id);
  }
  return begun.filter((entry) => !settled.has(entry.batchId));
}

/** Intents whose outcome is looked for at once. */
const PENDING_STEP = 500;
