import { createHash } from 'node:crypto';
import { BatchSizes } from './batch-sizes.ts';
import { CR, Input, LF, type Pauses } from './input.ts';
import { type Found, type KnownBatch, type Lookup, recognise } from './recognise.ts';
import { type Scan, scanLines, scanLongLine } from './scan.ts';

/** How input is cut. */
export interface CutOptions {
  /** Most bytes of a batch; also how much input is held in memory. */
  batchBytes: number;
  /** Longest line, bytes, ending not counted. */
  maxLine: number;
  /** A batch is closed when its first byte is this old, so that slow input is not held back. Milliseconds. */
  flushMs: number;
  /** How the source pauses, where it may do so for ever; what is there before a pause is then compared with what is known as it stands. */
  live?: Pauses;
  /** Where it starts, where that is not the start of an input. */
  from?: InputStart;
  /** Its length in bytes, where that is known; it may turn out to be another. */
  length?: number;
  /** Whether the source ended before its own end, since it was stopped. */
  cutShort?: () => boolean;
}

/** A place in an input: after whole batches of it. */
export interface InputStart {
  /** Number of the line that comes next, from 1. */
  line: number;
  /** Whether the line before was taken without an ending, which it may have got since. */
  unfinished: boolean;
}

/** A piece of a source that ends at a line's end, or where the source does: its lines, and its place. */
export interface Batch extends Scan {
  /** SHA-256, hex, of the previous batch's key and the bytes of this one. */
  key: string;
  previousKey: string;
  /** Hash of its first line's start: tells a batch that may be known from others after the same key. */
  head: string;
  /** Whether it is a last line without an ending, or a line as long as the buffer. */
  unfinished: boolean;
  /** Bytes of the source up to its end, from where the source started. */
  end: number;
  /** Its last bytes, ENDING_BYTES or fewer. */
  ending: Uint8Array;
  /** The batch of the ledger that has the same bytes after the same key. */
  known: KnownBatch | undefined;
}

/**
 * Claims the place of a batch that is to be ingested.
 * @param lookedUp whether the place was looked up, or is taken for new since the batch before was
 * @returns false where the ledger has something else there by now: then it is to be looked up again
 */
export type ClaimPlace = (previousKey: string, head: string, lookedUp: boolean) => Promise<boolean>;

/** A byte order mark; at the start of an input it is skipped. */
export const BOM = [0xef, 0xbb, 0xbf];
/** Bytes of the first line that make a batch's head. */
const HEAD_BYTES = 1024;
/** Bytes by which the end of a batch is told from others. */
const ENDING_BYTES = 1024;

/**
 * Cuts a source into batches at line ends. A byte order mark at its start is
 * skipped; a last line without an ending is a batch of its own, so that the
 * rest of a file is recognised when the line is completed. Memory: one buffer
 * of batchBytes, whatever the lines are like: a line that does not fit is read
 * to its end without being kept.
 * @param root key that the first batch's key is chained on
 * @param lookup finds batches that are known; where one has the same bytes, the cut is as it was then
 * @param claim is asked before a batch is cut that is not known as committed
 */
export async function* cutBatches(
  chunks: AsyncIterable<Uint8Array>,
  root: string,
  options: CutOptions,
  lookup: Lookup = async function* () {},
  claim: ClaimPlace = async () => true,
): AsyncGenerator<Batch> {
  const { batchBytes, flushMs, maxLine, live, length, from = { line: 1, unfinished: false } } = options;
  const { cutShort = () => false } = options;
  const input = new Input(chunks, batchBytes, flushMs, live);
  try {
    if (from.line === 1) await input.skip(BOM);
    if (from.unfinished) await input.skipLineEnding();
    const sizes = new BatchSizes(batchBytes, length);
    yield* chained(input, root, { maxLine, line: from.line, sizes }, { lookup, claim, cutShort });
  } finally {
    await input.close();
  }
}

async function* chained(
  input: Input,
  root: string,
  { maxLine, line, sizes }: { maxLine: number; line: number; sizes: BatchSizes },
  { lookup, claim, cutShort }: { lookup: Lookup; claim: ClaimPlace; cutShort: () => boolean },
): AsyncGenerator<Batch> {
  let previousKey = root;
  let firstLine = line;
  // After a batch that is not known none is, but where another run was there first.
  let mayBeKnown = true;
  for (;;) {
    const start = await input.startOfLine(HEAD_BYTES + 1);
    if (start.length === 0) return;
    const head = headOf(start);
    let found: Found = { candidates: [], longer: false };
    for (let claimed = false; !claimed; mayBeKnown = true) {
      if (mayBeKnown) found = await recognise(input, previousKey, lookup(previousKey, head));
      // It broke off within what is most likely a batch that is known. Taken as a batch of its own, its lines would
      // count twice, and so would all that comes after when the input is read again.
      if (found.longer) {
        input.assertSound();
        if (cutShort()) return;
      }
      claimed = found.known?.committed === true || (await claim(previousKey, head, mayBeKnown));
    }
    const enough = found.known ? 0 : sizes.next(input.position);
    const cut = await nextBatch(input, { previousKey, firstLine, maxLine, enough }, found);
    const batch = { ...cut, head, end: input.position, ending: input.ending(ENDING_BYTES) };
    mayBeKnown = batch.known !== undefined;
    firstLine += batch.sourceLines;
    previousKey = batch.key;
    yield batch;
    // The ending that an unfinished last line has got since belongs to that line.
    if (found.known && batch.unfinished) await input.skipLineEnding();
  }
}

async function nextBatch(
  input: Input,
  {
    previousKey,
    firstLine,
    maxLine,
    enough,
  }: { previousKey: string; firstLine: number; maxLine: number; enough: number },
  { known, candidates }: Found,
): Promise<Omit<Batch, 'head' | 'end' | 'ending'>> {
  const offered = known ? input.take(known.bytes) : await input.lines(enough);
  const whole = known !== undefined || offered[offered.length - 1] === LF || input.ended;
  const scanned = whole ? scanOf(offered, { firstLine, maxLine }, known) : undefined;
  const bytes = scanned ? input.take(scanned.bytes) : offered;
  const unfinished = bytes[bytes.length - 1] !== LF;
  if (scanned && known?.bytes === scanned.bytes)
    return { ...scanned, previousKey, key: known.key, unfinished, known };
  const hash = createHash('sha256').update(previousKey).update(bytes);
  const cut = scanned ?? (await scanLongLine(input, bytes, firstLine, hash));
  const key = hash.digest('hex');
  // Cut as it was then: a line that fills the buffer is known only now that it is read to its end.
  return { ...cut, previousKey, key, unfinished, known: candidates.find((one) => one.key === key) };
}

/** Hash of the start of the first line. The ending is no part of it: an unfinished line may get either of the two. */
export function headOf(bytes: Uint8Array): string {
  const lf = bytes.indexOf(LF);
  let end = lf < 0 ? bytes.length : lf;
  if (bytes[end - 1] === CR) end -= 1;
  return createHash('sha256')
    .update(bytes.subarray(0, Math.min(end, HEAD_BYTES)))
    .digest('hex')
    .slice(0, 16);
}

/** The lines that were offered; those of a committed batch are counted already, and go nowhere. */
function scanOf(
  bytes: Uint8Array,
  { firstLine, maxLine }: { firstLine: number; maxLine: number },
  known: KnownBatch | undefined,
): Scan {
  if (!known?.committed) return scanLines(bytes, firstLine, maxLine);
  const { lines, sourceLines } = known;
  const nothing = { crlf: false, blank: false, cut: [], pieces: [] };
  return { ...nothing, firstLine, sourceLines, lines, bytes: bytes.length };
}
