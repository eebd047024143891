import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type Store, sqlTime } from '../store/store.ts';
import { committedAttempts, type Piece } from './outcome.ts';
import { Refusal } from './refusal.ts';

/** How long a key is remembered. */
export const KEY_LIFE_MS = 24 * 3_600_000;

/** A request that may be sent again. */
export interface RequestKey {
  /** Of who sent it and the key: keys of different senders have nothing to do with each other. */
  hash: string;
  /** Of what was sent. */
  fingerprint: string;
}

/** A key, and where the lines that came with it went. For a stream, `key` is empty and `previousKey` its root. */
export interface RecordedKey extends RequestKey, Piece {}

export function keyHash(sender: string, key: string): string {
  return createHash('sha256')
    .update(JSON.stringify([sender, key]))
    .digest('hex');
}

/** @param kind what the body was sent as: the same bytes as another kind of body are another request */
export function fingerprintOf(kind: string, body: Uint8Array): string {
  return createHash('sha256').update(`${kind}\n`).update(body).digest('hex');
}

/** Writes keys: durable before any row of their batches. */
export async function recordKeys(store: Store, keys: readonly RecordedKey[], now: Date): Promise<void> {
  if (keys.length === 0) return;
  await store.insert(
    'infrasage_idempotency_keys',
    ...keys.map((key) => ({
      key_hash: key.hash,
      fingerprint: key.fingerprint,
      previous_key: key.previousKey,
      key: key.key,
      first_line: key.firstLine,
      source_lines: key.sourceLines,
      lines: key.lines,
      recorded_at: sqlTime(now),
    })),
  );
}

const count = z.coerce.number().int();
const keyRow = z
  .object({
    key_hash: z.string(),
    fingerprint: z.string(),
    previous_key: z.string(),
    key: z.string(),
    first_line: count,
    source_lines: count,
    lines: count,
  })
  .transform(
    (row): RecordedKey => ({
      hash: row.key_hash,
      fingerprint: row.fingerprint,
      previousKey: row.previous_key,
      key: row.key,
      firstLine: row.first_line,
      sourceLines: row.source_lines,
      lines: row.lines,
    }),
  );

/** A recorded key that counts: its batch is committed, under this id, or it is a stream's. */
export type KnownKey = RecordedKey & { batchId: string; rejected: number };

/**
 * Of these keys, those that are remembered and count, by hash. A key whose
 * batch was never committed does not: nothing of its request is stored. No
 * batch may be unsettled.
 */
export async function knownKeys(
  store: Store,
  hashes: readonly string[],
  now: Date,
): Promise<Map<string, KnownKey>> {
  if (hashes.length === 0) return new Map();
  const recorded = await store.query(
    `SELECT key_hash, fingerprint, previous_key, key, first_line, source_lines, lines
    FROM {{db}}.infrasage_idempotency_keys
    WHERE key_hash IN {hashes:Array(String)} AND recorded_at > toDateTime64({since:String}, 3, 'UTC')`,
    keyRow,
    { hashes, since: sqlTime(new Date(now.getTime() - KEY_LIFE_MS)) },
  );
  const attempts = await committedAttempts(
    store,
    recorded.filter(({ key }) => key !== ''),
  );
  const known = new Map<string, KnownKey>();
  for (const key of recorded) {
    const attempt = key.key === '' ? { batchId: '', rejected: 0 } : attempts.get(key.key);
    if (attempt) known.set(key.hash, { ...key, ...attempt });
  }
  return known;
}

/** What is stored of a request that failed before it could be looked up whether its key came before. */
export function keptUnlooked(key: RequestKey | undefined): string {
  return key
    ? 'nothing of it was stored this time; whether it was when it was sent before is not known, and with the same Idempotency-Key, a retry counts once'
    : 'nothing of it is stored';
}

/** @throws Refusal where a key came with another body before */
export function assertSameRequest(key: RequestKey, before: RequestKey): void {
  if (key.fingerprint === before.fingerprint) return;
  throw new Refusal('key_reused', 'this Idempotency-Key was used for another body before', {
    hint: 'send another request under another key; a retry must be the same to the byte',
  });
}
