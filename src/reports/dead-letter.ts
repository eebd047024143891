import { parse } from 'lossless-json';
import { z } from 'zod';
import { type ContractOptions, EVENT_TYPES } from '../ingest/contract.ts';
import { KEPT_OF_LONG_LINE } from '../ingest/scan.ts';
import { shortBatchId } from '../store/batch-id.ts';
import { type LineOptions, lineOptions, PLAIN_LINES, type Store, uint64, utcTime } from '../store/store.ts';
import { type DeadLetter, idParts, LETTER, letterRow } from './dead-letters.ts';

/** What a letter's line was judged with: from its batch's row in the ledger. */
export interface LetterOrigin {
  /** Whether the batch is committed; of others, what became of the letter is open. */
  committed: boolean;
  options: LineOptions;
  /** The tenant that the line was bound to; null where it was to none. */
  boundTo: string | null;
  /** Bytes of the line as sent; more than were kept of it where it was cut. */
  sentBytes: number;
}

/** A letter that was sent again, and what it has become. */
export interface Replayed {
  at: Date;
  /** The fields that were set, as given: numbers as LosslessNumber. */
  changes: Record<string, unknown>;
  batchId: string;
  /** Its line in that batch. */
  line: bigint;
  /** The event; undefined where it was rejected again. */
  event:
    | { tenantId: string; eventType: string; serviceId: string; timestamp: Date; bytes: bigint }
    | undefined;
  /** The letter it has become where it was rejected again. */
  rejectedAs: string | undefined;
}

export interface FoundLetter {
  letter: DeadLetter;
  origin: LetterOrigin;
  replayed: Replayed | undefined;
  /** The letter that it is the second copy of, where it was rejected when that was sent again. */
  replayOf: string | undefined;
}

/** The id by which people name a letter. */
export function letterId(batchId: string, line: bigint): string {
  return `${shortBatchId(batchId)}-${line}`;
}

/** One dead letter by its id; undefined where there is none. */
export async function findLetter(store: Store, id: string): Promise<FoundLetter | undefined> {
  const parts = idParts(id);
  if (!parts) return undefined;
  const { key, attempt, line } = parts;
  const [letter] = await store.query(
    `SELECT ${LETTER} FROM {{db}}.infrasage_dlq AS d
    WHERE batch_id >= {key:String} AND startsWith(batch_id, {key:String}) AND endsWith(batch_id, {attempt:String})
      AND d.line = {line:UInt64} LIMIT 1`,
    letterRow,
    { key, attempt: `#${attempt}`, line },
  );
  if (!letter) return undefined;
  const batches = await batchesOf(store, [letter.batchId]);
  return {
    letter,
    origin: originOf(letter, batches.get(letter.batchId)),
    replayed: await replayOf(store, letter),
    replayOf: await originalOf(store, letter),
  };
}

const batchRow = z.object({
  batch_id: z.string(),
  committed: z.coerce.boolean(),
  options: z.string().transform((text) => lineOptions.parse(JSON.parse(text))),
  bindings: z
    .string()
    .transform((text) =>
      z.array(z.object({ line: z.number(), tenant: z.string().nullable() })).parse(JSON.parse(text)),
    ),
  cut: z
    .string()
    .transform((text) => z.array(z.object({ line: z.number(), length: z.number() })).parse(JSON.parse(text))),
});
export type LetterBatch = z.infer<typeof batchRow>;

/** What the ledger has of these batches, by id. */
export async function batchesOf(store: Store, ids: readonly string[]): Promise<Map<string, LetterBatch>> {
  if (ids.length === 0) return new Map();
  const rows = await store.query(
    `SELECT batch_id, max(b.state = 'committed') AS committed, any(b.options) AS options, any(b.bindings) AS bindings, any(b.cut) AS cut
    FROM {{db}}.infrasage_ingest_batches AS b WHERE batch_id IN {ids:Array(String)} GROUP BY batch_id`,
    batchRow,
    { ids },
  );
  return new Map(rows.map((row) => [row.batch_id, row]));
}

/** @param batch undefined where the ledger does not know it: others have written the letter */
export function originOf(
  { raw, line, error }: Pick<DeadLetter, 'raw' | 'line' | 'error'>,
  batch: LetterBatch | undefined,
): LetterOrigin {
  const number = Number(line);
  const cut = batch?.cut.find((one) => one.line === number)?.length;
  // Of a line that others have cut it is not known where it ended.
  const unknown = cut === undefined && error === 'line_too_long' && raw.length >= KEPT_OF_LONG_LINE;
  return {
    committed: batch?.committed ?? false,
    options: batch?.options ?? PLAIN_LINES,
    boundTo: batch?.bindings.findLast((binding) => binding.line <= number)?.tenant ?? null,
    sentBytes: cut ?? (unknown ? raw.length + 1 : raw.length),
  };
}

/** How the contract judges a line of this origin at a time. */
export function contractOf({ options, boundTo }: LetterOrigin, receivedAt: Date): ContractOptions {
  return {
    tenant: boundTo ?? options.tenant ?? undefined,
    tenantBound: boundTo !== null,
    defaultType: z.enum(EVENT_TYPES).nullable().parse(options.defaultType) ?? undefined,
    strict: options.strict,
    assumeUtc: options.assumeUtc,
    maxAgeMs: options.maxAgeSeconds === null ? undefined : options.maxAgeSeconds * 1000,
    maxLine: options.maxLine,
    receivedAt,
  };
}

const replayRow = z.object({
  recorded_at: utcTime,
  changes: z.string().transform((text) => z.record(z.string(), z.unknown()).parse(parse(text))),
  line: uint64,
  batch_id: z.string(),
  tenant_id: z.string(),
  event_type: z.string(),
  service_id: z.string(),
  timestamp: utcTime,
  bytes_received: uint64,
});

/** How a letter was sent again, in the batch that counts. */
async function replayOf(store: Store, { batchId, line }: DeadLetter): Promise<Replayed | undefined> {
  const [row] = await store.query(
    `SELECT r.recorded_at AS recorded_at, toString(r.changes) AS changes, r.line AS line, b.id AS batch_id,
      toString(r.tenant_id) AS tenant_id, toString(r.event_type) AS event_type, toString(r.service_id) AS service_id,
      r.timestamp AS timestamp, r.bytes_received AS bytes_received
    FROM (SELECT * FROM {{db}}.infrasage_dlq_replays WHERE letter_batch = {batch:String} AND letter_line = {line:UInt64}) AS r
    INNER JOIN (SELECT key AS batch_key, batch_id AS id FROM {{db}}.infrasage_ingest_batches WHERE state = 'committed') AS b
      ON b.batch_key = r.key
    LIMIT 1`,
    replayRow,
    { batch: batchId, line },
  );
  if (!row) return undefined;
  const again = await store.query(
    'SELECT d.line AS line FROM {{db}}.infrasage_dlq AS d WHERE batch_id = {batch:String} AND d.line = {line:UInt64}',
    z.object({ line: uint64 }),
    { batch: row.batch_id, line: row.line },
  );
  const rejected = again.length > 0;
  const event = {
    tenantId: row.tenant_id,
    eventType: row.event_type,
    serviceId: row.service_id,
    timestamp: row.timestamp,
    bytes: row.bytes_received,
  };
  return {
    at: row.recorded_at,
    changes: row.changes,
    batchId: row.batch_id,
    line: row.line,
    event: rejected ? undefined : event,
    rejectedAs: rejected ? letterId(row.batch_id, row.line) : undefined,
  };
}

async function originalOf(store: Store, { batchId, line }: DeadLetter): Promise<string | undefined> {
  const [key] = batchId.split('#');
  const [row] = await store.query(
    `SELECT letter_batch, letter_line FROM {{db}}.infrasage_dlq_replays WHERE key = {key:String} AND line = {line:UInt64} LIMIT 1`,
    z.object({ letter_batch: z.string(), letter_line: uint64 }),
    { key: key ?? '', line },
  );
  return row && letterId(row.letter_batch, row.letter_line);
}
