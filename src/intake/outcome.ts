import { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import type { Batch } from '../ingest/batch.ts';
import type { Store } from '../store/store.ts';

/** What became of the records of a request: all of them are durable, in the firehose or the dead letters. */
export interface Outcome {
  /** Accepted records. */
  queued: number;
  /** Rejected records. */
  failed: number;
  /** The rejected ones in order; of a stream, the first of them. */
  failures: Failure[];
}

export interface Failure {
  /** Position in the request, from 0: of an element in the array, of a line, blank ones counted. */
  index: number;
  /** A code of the event contract. */
  error: string;
  message: string;
}

/** The records are committed, and only what is said of them could not be read: they must not be sent again. */
export class OutcomeUnread extends InfrasageError {
  constructor(cause: unknown) {
    super('the list of failures could not be read', {
      kept: 'its records are stored',
      hint: 'do not send them again, unless with the same Idempotency-Key',
      cause,
    });
  }
}

/** Lines of a batch: where the records of a request are. */
export type Piece = Pick<Batch, 'previousKey' | 'key' | 'firstLine' | 'sourceLines' | 'lines'>;

/** The attempts of these batches that are committed, by key. */
export async function committedAttempts(
  store: Store,
  batches: readonly Pick<Piece, 'previousKey' | 'key'>[],
): Promise<Map<string, { batchId: string; rejected: number }>> {
  if (batches.length === 0) return new Map();
  const rows = await store.query(
    `SELECT key, any(b.batch_id) AS batch_id, any(b.rejected) AS rejected
    FROM {{db}}.infrasage_ingest_batches AS b
    WHERE previous_key IN {previous_keys:Array(String)} AND key IN {keys:Array(String)} AND b.state = 'committed'
    GROUP BY key`,
    z.object({ key: z.string(), batch_id: z.string(), rejected: z.coerce.number().int() }),
    {
      previous_keys: [...new Set(batches.map((batch) => batch.previousKey))],
      keys: [...new Set(batches.map((batch) => batch.key))],
    },
  );
  return new Map(rows.map((row) => [row.key, { batchId: row.batch_id, rejected: row.rejected }]));
}

/**
 * What became of the lines of one committed batch, piece by piece, from its
 * dead letters.
 * @throws OutcomeUnread
 */
export async function outcomesOf(
  store: Store,
  { batchId, rejected }: { batchId: string; rejected: number },
  pieces: readonly Piece[],
): Promise<Outcome[]> {
  const letters = rejected === 0 ? [] : await lettersOf(store, [batchId], rejected).catch(unread);
  return pieces.map(({ firstLine, sourceLines, lines }) => {
    const failures = letters
      .slice(lowerBound(letters, firstLine), lowerBound(letters, firstLine + sourceLines))
      .map(({ line, error, message }) => ({ index: line - firstLine, error, message }));
    return { queued: lines - failures.length, failed: failures.length, failures };
  });
}

/**
 * What became of an input that is a chain of committed batches: the right totals, and its first failures, at most so
 * many.
 * @throws OutcomeUnread
 */
export async function outcomeOfChain(
  store: Store,
  batches: readonly Piece[],
  mostFailures: number,
): Promise<Outcome> {
  let failed = 0;
  const lines = batches.reduce((sum, batch) => sum + batch.lines, 0);
  const failures: Failure[] = [];
  for (let i = 0; i < batches.length; i += CHAIN_STEP) {
    const attempts = await committedAttempts(store, batches.slice(i, i + CHAIN_STEP)).catch(unread);
    const withLetters = [...attempts.values()].filter((attempt) => attempt.rejected > 0);
    failed += withLetters.reduce((sum, attempt) => sum + attempt.rejected, 0);
    const room = mostFailures - failures.length;
    if (room === 0 || withLetters.length === 0) continue;
    const letters = await lettersOf(
      store,
      withLetters.map((attempt) => attempt.batchId),
      room,
    ).catch(unread);
    failures.push(...letters.map(({ line, error, message }) => ({ index: line - 1, error, message })));
  }
  return { queued: lines - failed, failed, failures };
}

/** Batches of a chain that are looked up at once. */
const CHAIN_STEP = 200;

/** Lines of the batches of a chain that are committed. */
export async function committedLines(store: Store, batches: readonly Piece[]): Promise<number> {
  let lines = 0;
  for (let i = 0; i < batches.length; i += CHAIN_STEP) {
    const step = batches.slice(i, i + CHAIN_STEP);
    const attempts = await committedAttempts(store, step);
    for (const batch of step) if (attempts.has(batch.key)) lines += batch.lines;
  }
  return lines;
}

const letterRow = z.object({ line: z.coerce.number().int(), error: z.string(), message: z.string() });

/** The dead letters of batches of one source, by line. */
function lettersOf(
  store: Store,
  batchIds: readonly string[],
  most: number,
): Promise<z.infer<typeof letterRow>[]> {
  return store.query(
    `SELECT d.line AS line, error, message FROM {{db}}.infrasage_dlq AS d
    WHERE batch_id IN {batches:Array(String)} ORDER BY d.line LIMIT {most:UInt64}`,
    letterRow,
    { batches: batchIds, most },
  );
}

function unread(error: unknown): never {
  throw new OutcomeUnread(error);
}

/** Position of the first letter at this line or after it. */
function lowerBound(letters: readonly { line: number }[], line: number): number {
  let low = 0;
  let high = letters.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((letters[middle]?.line ?? 0) < line) low = middle + 1;
    else high = middle;
  }
  return low;
}
