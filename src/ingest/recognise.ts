import { createHash } from 'node:crypto';
import { type Input, LF } from './input.ts';

/** A batch that the ledger has already. */
export interface KnownBatch {
  key: string;
  bytes: number;
  lines: number;
  sourceLines: number;
  committed: boolean;
  /** Of one that is not committed, whether its cut is to be taken again: it, or a batch after it, at once or behind others, is committed or may yet be. */
  fixed: boolean;
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
  /** Whether one that starts like the input goes on where the input, as far as it came, does not. */
  longer: boolean;
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
  let longer = false;
  for await (candidates of lists) {
    const { known, ...found } = await matching(input, previousKey, candidates);
    if (known) return { known, candidates, longer: false };
    longer = found.longer;
  }
  return { candidates, longer };
}

/** The candidate whose bytes the input has; reads on for it as far as it needs to. */
async function matching(
  input: Input,
  previousKey: string,
  candidates: readonly KnownBatch[],
): Promise<{ known?: KnownBatch; longer: boolean }> {
  // What is committed comes first. The cut of a batch that was not is taken up again only where
  // others are reached by that cut alone.
  const usable = candidates.filter((candidate) => candidate.committed || candidate.fixed);
  usable.sort((a, b) => Number(b.committed) - Number(a.committed) || b.bytes - a.bytes);
  let longer = false;
  for (const candidate of usable) {
    const bytes = await input.peek(candidate.bytes);
    longer ||= !bytes;
    if (!bytes) continue;
    if (createHash('sha256').update(previousKey).update(bytes).digest('hex') !== candidate.key) continue;
    // Where its last line had no ending, it must be whole here too, not the start of a longer one.
    if (bytes[bytes.length - 1] === LF || (await input.lineEndsAfter(bytes.length)))
      return { known: candidate, longer };
  }
  return { longer };
}
