import { createHash } from 'node:crypto';

/** How input is cut. */
export interface CutOptions {
  /** Most bytes of a batch; also how much input is held in memory. */
  batchBytes: number;
  /** Longest line, bytes, ending not counted. */
  maxLine: number;
  /** A batch is closed when its first byte is this old, so that slow input is not held back. Milliseconds. */
  flushMs: number;
}

/** A piece of a source that ends at a line's end, or where the source does. */
export interface Batch {
  /** SHA-256, hex, of the previous batch's key and the bytes of this one. */
  key: string;
  previousKey: string;
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
  /** Lines over the limit: number in the source and full length in bytes. */
  cut: { line: number; length: number }[];
  /**
   * What to hand to the engine: the lines, those over the limit cut to
   * KEPT_OF_LONG_LINE bytes. Valid until the next batch is asked for.
   */
  pieces: Uint8Array[];
}

/** Of a line over the limit, the dead letter keeps this much. */
export const KEPT_OF_LONG_LINE = 64 * 1024;

const LF = 10;
const CR = 13;
/** Ends a line that was cut: where a batch has such an ending, the engine takes one CR off each line. */
const CRLF = Buffer.of(CR, LF);
const BOM = [0xef, 0xbb, 0xbf];

/**
 * Cuts a source into batches at line ends. A byte order mark at its start is
 * skipped. Memory: one buffer of batchBytes, whatever the lines are like: a
 * line that does not fit is read to its end without being kept.
 * @param root key that the first batch's key is chained on
 */
export async function* cutBatches(
  chunks: AsyncIterable<Uint8Array>,
  root: string,
  options: CutOptions,
): AsyncGenerator<Batch> {
  const input = new Input(chunks, options.batchBytes, options.flushMs);
  await input.skip(BOM);
  let previousKey = root;
  let line = 1;
  for (;;) {
    const bytes = await input.lines();
    if (bytes.length === 0) return;
    const hash = createHash('sha256').update(previousKey).update(bytes);
    let batch: Batch;
    if (bytes[bytes.length - 1] === LF || input.ended) {
      batch = { ...scan(bytes, line, options.maxLine), previousKey, key: '', bytes: bytes.length };
    } else {
      // One line fills the whole buffer: it is over any limit, and only its start is kept.
      const kept = Buffer.concat([bytes.subarray(0, KEPT_OF_LONG_LINE), Buffer.of(LF)]);
      let length = bytes.length;
      let ending = 0;
      for await (const more of input.restOfLine()) {
        hash.update(more.bytes);
        length += more.bytes.length;
        ending = more.ending;
      }
      batch = {
        firstLine: line,
        sourceLines: 1,
        lines: 1,
        crlf: false,
        blank: false,
        cut: [{ line, length: length - ending }],
        pieces: [kept],
        previousKey,
        key: '',
        bytes: length,
      };
    }
    batch.key = hash.digest('hex');
    line += batch.sourceLines;
    previousKey = batch.key;
    yield batch;
  }
}

type Scan = Omit<Batch, 'key' | 'previousKey' | 'bytes'>;

/** Counts the lines of a buffer and cuts out what is over the limit. */
function scan(bytes: Uint8Array, firstLine: number, maxLine: number): Scan {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const pieces: Uint8Array[] = [];
  const cut: Scan['cut'] = [];
  let lines = 0;
  let crlf = false;
  let blank = false;
  let line = firstLine;
  let copied = 0;
  for (let start = 0; start < buffer.length; line++) {
    const lf = buffer.indexOf(LF, start);
    const next = lf < 0 ? buffer.length : lf + 1;
    let end = lf < 0 ? buffer.length : lf;
    if (lf > start && buffer[lf - 1] === CR) {
      crlf = true;
      end -= 1;
    }
    if (isBlank(buffer, start, end)) blank = true;
    else lines += 1;
    if (end - start > maxLine) {
      cut.push({ line, length: end - start });
      const kept = Math.min(end - start, KEPT_OF_LONG_LINE);
      pieces.push(buffer.subarray(copied, start + kept), CRLF);
      crlf = true;
      copied = next;
    }
    start = next;
  }
  pieces.push(buffer.subarray(copied));
  // A carriage return at the very end belongs to its line; with an ending after it, it stays there.
  if (crlf && buffer[buffer.length - 1] === CR) pieces.push(CRLF);
  return { firstLine, sourceLines: line - firstLine, lines, crlf, blank, cut, pieces };
}

/** Nothing but spaces, tabs and carriage returns. */
function isBlank(buffer: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = buffer[i];
    if (byte !== 32 && byte !== 9 && byte !== CR) return false;
  }
  return true;
}

/** Chunks of a source gathered in one buffer that is used again and again. */
class Input {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #flushMs: number;
  readonly #buffer: Buffer;
  /** Bytes in the buffer, and how many of them the last lines() handed out. */
  #filled = 0;
  #taken = 0;
  /** The chunk that did not fit. */
  #rest: Uint8Array = new Uint8Array(0);
  #pending: Promise<IteratorResult<Uint8Array>> | undefined;
  /** Whether the source is read to its end, and all of it handed out. */
  #drained = false;

  constructor(chunks: AsyncIterable<Uint8Array>, size: number, flushMs: number) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#flushMs = flushMs;
    this.#buffer = Buffer.allocUnsafeSlow(size);
  }

  /** Whether what was last handed out is the end of the source. */
  get ended(): boolean {
    return this.#drained && this.#taken === this.#filled;
  }

  /** Drops these bytes where the source starts with them. */
  async skip(mark: readonly number[]): Promise<void> {
    while (this.#filled < mark.length && (await this.#fill())) {}
    if (mark.every((byte, i) => this.#buffer[i] === byte) && this.#filled >= mark.length)
      this.#taken = mark.length;
  }

  /**
   * The next whole lines: as many as fit, or as came within the time. What is
   * left of the source where it ends without a line ending; the full buffer
   * where a line does not fit in it; nothing at the end.
   */
  async lines(): Promise<Uint8Array> {
    this.#buffer.copyWithin(0, this.#taken, this.#filled);
    this.#filled -= this.#taken;
    this.#taken = 0;
    const deadline = new Deadline(this.#flushMs);
    try {
      if (this.#filled > 0) deadline.start();
      while (this.#filled < this.#buffer.length) {
        const filled = await this.#fill(deadline);
        if (filled === false) break;
        deadline.start();
        // The time is up: hand over the whole lines, and wait on where there is none.
        if (deadline.passed && this.#buffer.lastIndexOf(LF, this.#filled - 1) >= 0) break;
      }
    } finally {
      deadline.clear();
    }
    const all = this.#drained && this.#rest.length === 0;
    const lastEnd = this.#filled === 0 ? -1 : this.#buffer.lastIndexOf(LF, this.#filled - 1);
    this.#taken = all || lastEnd < 0 ? this.#filled : lastEnd + 1;
    return this.#buffer.subarray(0, this.#taken);
  }

  /** What follows of the line that filled the whole buffer, with the length of its line ending in the last piece. */
  async *restOfLine(): AsyncGenerator<{ bytes: Uint8Array; ending: number }> {
    let last = this.#buffer[this.#filled - 1];
    for (;;) {
      this.#filled = 0;
      this.#taken = 0;
      if (!(await this.#fill())) return;
      const lf = this.#buffer.subarray(0, this.#filled).indexOf(LF);
      this.#taken = lf < 0 ? this.#filled : lf + 1;
      const before = lf > 0 ? this.#buffer[lf - 1] : last;
      yield { bytes: this.#buffer.subarray(0, this.#taken), ending: lf < 0 ? 0 : before === CR ? 2 : 1 };
      if (lf >= 0) return;
      last = this.#buffer[this.#filled - 1];
    }
  }

  /** Takes more of the source into the buffer. False at its end; true also where only the time ran out. */
  async #fill(deadline?: Deadline): Promise<boolean> {
    if (this.#rest.length === 0) {
      if (this.#drained) return false;
      this.#pending ??= this.#chunks.next();
      const next = await (deadline ? deadline.orPassed(this.#pending) : this.#pending);
      if (next === undefined) return true;
      this.#pending = undefined;
      if (next.done) {
        this.#drained = true;
        return false;
      }
      this.#rest = next.value;
    }
    const room = Math.min(this.#rest.length, this.#buffer.length - this.#filled);
    this.#buffer.set(this.#rest.subarray(0, room), this.#filled);
    this.#filled += room;
    this.#rest = this.#rest.subarray(room);
    return true;
  }
}

/** A time limit that starts with the first byte. */
class Deadline {
  passed = false;
  readonly #ms: number;
  #timer: NodeJS.Timeout | undefined;
  #expired: Promise<undefined> | undefined;

  constructor(ms: number) {
    this.#ms = ms;
  }

  start(): void {
    if (this.#timer) return;
    this.#expired = new Promise((resolve) => {
      this.#timer = setTimeout(() => {
        this.passed = true;
        resolve(undefined);
      }, this.#ms);
    });
  }

  /** A promise's value; undefined where the time is up first. Once it is up, only the promise counts. */
  async orPassed<T>(promise: Promise<T>): Promise<T | undefined> {
    return this.#expired && !this.passed ? Promise.race([promise, this.#expired]) : promise;
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}
