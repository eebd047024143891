import { createHash } from 'node:crypto';
import { type Input, LF } from './input.ts';

/** A batch that the ledger has already. */
export interface KnownBatch {
  key: string;
  bytes: number;
  lines: number;
  sourceLines: number;
  committed: boolean;
  /** Of one that is not committed, whether a committed batch comes after it, at once or behind others that are not. */
  followed: boolean;
  /** The highest attempt there was. */
  attempt: number;
}

/**
 * The known batches after a key and with a head, in one or several lists: a
 * later one is asked for only where the input has none of an earlier one's. An
 * earlier one holds committed batches alone, the last one all there are.
 */
export type Lookup = (previousKey: string, head: string) => AsyncIterable<readonly KnownBatch[]>;

/** What of the known batches the input has, and the last list of them that was looked at. */
export interface Found {
  known?: KnownBatch;
  candidates: readonly KnownBatch[];
}

/**
 * Which of the batches that are known after a key the input goes on with.
 * @param lists as Lookup gives them
 */
export async function recognise(
  input: Input,
  previousKey: string,
  lists: AsyncIterable<readonly KnownBatch[]>,
): Promise<Found> {
  let candidates: readonly KnownBatch[] = [];
  for await (candidates of lists) {
    const known = await matching(input, previousKey, candidates);
    if (known) return { known, candidates };
  }
  return { candidates };
}

/** The candidate whose bytes the input has; reads on for it as far as it needs to. */
async function matching(
  input: Input,
  previousKey: string,
  candidates: readonly KnownBatch[],
): Promise<KnownBatch | undefined> {
  // What is committed comes first. The cut of a batch that was not is taken up again only where
  // committed batches follow it: they can be reached by that cut alone.
  const usable = candidates.filter((candidate) => candidate.committed || candidate.followed);
  usable.sort((a, b) => Number(b.committed) - Number(a.committed) || b.bytes - a.bytes);
  for (const candidate of usable) {
    const bytes = await input.peek(candidate.bytes);
    if (!bytes) continue;
    if (createHash('sha256').update(previousKey).update(bytes).digest('hex') !== candidate.key) continue;
    // Where its last line had no ending, it must be whole here too, not the start of a longer one.
    if (bytes[bytes.length - 1] === LF || (await input.lineEndsAfter(bytes.length))) return candidate;
  }
  return undefined;
}
