import { createHash } from 'node:crypto';
import { Input, LF, type Pauses } from './input.ts';

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
}

/** A place in an input: after whole batches of it. */
export interface InputStart {
  /** Number of the line that comes next, from 1. */
  line: number;
  /** Whether the line before was taken without an ending, which it may have got since. */
  unfinished: boolean;
}

/** A piece of a source that ends at a line's end, or where the source does. */
export interface Batch {
  /** SHA-256, hex, of the previous batch's key and the bytes of this one. */
  key: string;
  previousKey: string;
  /** Hash of its first line's start: tells a batch that may be known from others after the same key. */
  head: string;
  /** Length of the input it covers, line endings included. */
  bytes: number;
  /** Number in the source of its first line, from 1. */
  firstLine: number;
  /** Its lines, blank ones included. */
  sourceLines: number;
  /** Its lines that are events: those that are not blank. */
  lines: number;
  /** Whether some lines end in CRLF, and whether some are blank. */
  crlf: boolean;
  blank: boolean;
  /** Whether it is a last line without an ending, or a line as long as the buffer. */
  unfinished: boolean;
  /** Bytes of the source up to its end, from where the source started. */
  end: number;
  /** Its last bytes, ENDING_BYTES or fewer. */
  ending: Uint8Array;
  /** Lines over the limit: number in the source and full length in bytes. */
  cut: { line: number; length: number }[];
  /**
   * What to hand to the engine: the lines, those over the limit cut to
   * KEPT_OF_LONG_LINE bytes. Valid until the next batch is asked for.
   */
  pieces: Uint8Array[];
  /** The batch of the ledger that has the same bytes after the same key. */
  known: KnownBatch | undefined;
}

/** A batch that the ledger has already. */
export interface KnownBatch {
  key: string;
  bytes: number;
  lines: number;
  sourceLines: number;
  committed: boolean;
  /** Whether a committed batch comes after it. */
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

/**
 * Claims the place of a batch that is to be ingested.
 * @param lookedUp whether the place was looked up, or is taken for new since the batch before was
 * @returns false where the ledger has something else there by now: then it is to be looked up again
 */
export type ClaimPlace = (previousKey: string, head: string, lookedUp: boolean) => Promise<boolean>;

/** Of a line over the limit, the dead letter keeps this much. */
export const KEPT_OF_LONG_LINE = 64 * 1024;

const CR = 13;
/** Most events of a batch, whatever their bytes: the engine's memory goes by rows too. */
const MOST_LINES = 500_000;
/** Most lines over the limit: they are listed in the statement that writes the batch. */
const MOST_CUT = 2_000;
/** Ends a line that was cut: where a batch has such an ending, the engine takes one CR off each line. */
const CRLF = Buffer.of(CR, LF);
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
  const { batchBytes, flushMs, maxLine, live, from = { line: 1, unfinished: false } } = options;
  const input = new Input(chunks, batchBytes, flushMs, live);
  try {
    if (from.line === 1) await input.skip(BOM);
    if (from.unfinished) await input.skipLineEnding();
    yield* chained(input, root, { maxLine, line: from.line }, { lookup, claim });
  } finally {
    await input.close();
  }
}

async function* chained(
  input: Input,
  root: string,
  { maxLine, line }: { maxLine: number; line: number },
  { lookup, claim }: { lookup: Lookup; claim: ClaimPlace },
): AsyncGenerator<Batch> {
  let previousKey = root;
  let firstLine = line;
  // After a batch that is not known none is, but where another run was there first.
  let mayBeKnown = true;
  for (;;) {
    const start = await input.startOfLine(HEAD_BYTES + 1);
    if (start.length === 0) return;
    const head = headOf(start);
    let found: Found = { candidates: [] };
    for (let claimed = false; !claimed; mayBeKnown = true) {
      if (mayBeKnown) found = await recognise(input, previousKey, lookup(previousKey, head));
      claimed = found.known?.committed === true || (await claim(previousKey, head, mayBeKnown));
    }
    const cut = await nextBatch(input, { previousKey, firstLine, maxLine }, found);
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
  { previousKey, firstLine, maxLine }: { previousKey: string; firstLine: number; maxLine: number },
  { known, candidates }: Found,
): Promise<Omit<Batch, 'head' | 'end' | 'ending'>> {
  const offered = known ? input.take(known.bytes) : await input.lines();
  const whole = known !== undefined || offered[offered.length - 1] === LF || input.ended;
  const scanned = whole ? scanLines(offered, firstLine, maxLine, known) : undefined;
  const bytes = scanned ? input.take(scanned.bytes) : offered;
  const unfinished = bytes[bytes.length - 1] !== LF;
  if (scanned && known?.bytes === scanned.bytes)
    return { ...scanned, previousKey, key: known.key, unfinished, known };
  const hash = createHash('sha256').update(previousKey).update(bytes);
  const cut = scanned ?? (await longLine(input, bytes, firstLine, hash));
  const key = hash.digest('hex');
  // Cut as it was then: a line that fills the buffer is known only now that it is read to its end.
  return { ...cut, previousKey, key, unfinished, known: candidates.find((one) => one.key === key) };
}

/** What of the known batches the input has, and the last list of them that was looked at. */
interface Found {
  known?: KnownBatch;
  candidates: readonly KnownBatch[];
}

async function recognise(
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

/** The lines of a buffer, and what is to be handed to the engine of them. */
export type Scan = Pick<
  Batch,
  'firstLine' | 'sourceLines' | 'lines' | 'crlf' | 'blank' | 'cut' | 'pieces' | 'bytes'
>;

/** One line that fills the whole buffer: it is over any limit, and only its start is kept. */
async function longLine(
  input: Input,
  start: Uint8Array,
  line: number,
  hash: { update(bytes: Uint8Array): unknown },
): Promise<Scan> {
  let kept = Buffer.from(start.subarray(0, KEPT_OF_LONG_LINE));
  let blank = isBlank(start, 0, start.length);
  let bytes = start.length;
  let ending = 0;
  for await (const more of input.restOfLine()) {
    hash.update(more.bytes);
    blank &&= isBlank(more.bytes, 0, more.bytes.length - Math.min(more.ending, more.bytes.length));
    if (kept.length < KEPT_OF_LONG_LINE) {
      kept = Buffer.concat([kept, more.bytes.subarray(0, KEPT_OF_LONG_LINE - kept.length)]);
    }
    bytes += more.bytes.length;
    ending = more.ending;
  }
  // A CRLF may come in two pieces, and a part of it be among what was kept.
  const length = bytes - ending;
  kept = kept.subarray(0, Math.min(kept.length, length));
  const of = { firstLine: line, sourceLines: 1, crlf: false, blank, bytes };
  if (blank) return { ...of, lines: 0, cut: [], pieces: [] };
  return { ...of, lines: 1, cut: [{ line, length }], pieces: [kept, Buffer.of(LF)] };
}

/**
 * Counts the lines of a buffer, up to as many as a batch may have, and cuts out what is over the limit; of a committed batch the counts are known.
 */
export function scanLines(bytes: Uint8Array, firstLine: number, maxLine: number, known?: KnownBatch): Scan {
  if (known?.committed) {
    const { lines, sourceLines } = known;
    return {
      firstLine,
      sourceLines,
      lines,
      crlf: false,
      blank: false,
      cut: [],
      pieces: [],
      bytes: bytes.length,
    };
  }
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const pieces: Uint8Array[] = [];
  const cut: Scan['cut'] = [];
  let lines = 0;
  let crlf = false;
  let blank = false;
  let line = firstLine;
  let copied = 0;
  let start = 0;
  for (; start < buffer.length && lines < MOST_LINES && cut.length < MOST_CUT; line++) {
    const lf = buffer.indexOf(LF, start);
    const next = lf < 0 ? buffer.length : lf + 1;
    let end = lf < 0 ? buffer.length : lf;
    if (lf > start && buffer[lf - 1] === CR) {
      crlf = true;
      end -= 1;
    }
    if (isBlank(buffer, start, end)) blank = true;
    else lines += 1;
    if (end - start > maxLine && !isBlank(buffer, start, end)) {
      cut.push({ line, length: end - start });
      const kept = Math.min(end - start, KEPT_OF_LONG_LINE);
      pieces.push(buffer.subarray(copied, start + kept), CRLF);
      crlf = true;
      copied = next;
    }
    start = next;
  }
  const rest = buffer.subarray(copied, start);
  pieces.push(rest);
  // A carriage return at the very end belongs to its line; with an ending after it, it stays there.
  if (crlf && rest[rest.length - 1] === CR) pieces.push(CRLF);
  return { firstLine, sourceLines: line - firstLine, lines, crlf, blank, cut, pieces, bytes: start };
}

/** Nothing but spaces, tabs and carriage returns. */
function isBlank(buffer: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = buffer[i];
    if (byte !== 32 && byte !== 9 && byte !== CR) return false;
  }
  return true;
}
