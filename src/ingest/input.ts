import { DamagedInput } from './source.ts';

export const LF = 10;
const CR = 13;

/** The largest buffer, and so the largest batch. */
export const MAX_BUFFER = 64_000_000;

/**
 * The bytes of a source, gathered in one buffer that is used again and again.
 * What it hands out is valid until the next call.
 */
export class Input {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #flushMs: number;
  /** Most bytes that lines() hands out; the buffer may have grown beyond. */
  readonly #size: number;
  #buffer: Buffer;
  /** Bytes in the buffer, and how many of them, from its start, were handed out. */
  #filled = 0;
  #taken = 0;
  /** What of the last chunk did not fit. */
  #rest: Uint8Array = new Uint8Array(0);
  /** A chunk that was asked for and has not come. */
  #pending: Promise<IteratorResult<Uint8Array>> | undefined;
  /** What the source failed with. The whole lines before that are handed out first. */
  #failure: { error: unknown } | undefined;
  /** Whether the source has given its last chunk. */
  #drained = false;

  /**
   * @param size bytes of the buffer, and most of what lines() gives
   * @param flushMs how long lines() waits for more once it has something. Milliseconds
   */
  constructor(chunks: AsyncIterable<Uint8Array>, size: number, flushMs: number) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#flushMs = flushMs;
    this.#size = size;
    this.#buffer = Buffer.allocUnsafeSlow(size);
  }

  /** Whether what was last handed out is the end of the source. */
  get ended(): boolean {
    return this.#drained && !this.#failure && this.#rest.length === 0 && this.#taken === this.#filled;
  }

  /** Drops these bytes where the source starts with them. */
  async skip(mark: readonly number[]): Promise<void> {
    while (this.#filled < mark.length && (await this.#fill())) {}
    if (this.#filled >= mark.length && mark.every((byte, i) => this.#buffer[i] === byte))
      this.#taken = mark.length;
  }

  /**
   * The next whole lines: as many as fit, or as came within the time. The last
   * line of the source where it has no ending; the full buffer where a line
   * does not fit in it; nothing at the end.
   */
  async lines(): Promise<Uint8Array> {
    this.#forget();
    const deadline = new Deadline(this.#flushMs);
    try {
      if (this.#filled > 0) deadline.start();
      while (this.#filled < this.#size && (await this.#fill(deadline))) {
        deadline.start();
        // The time is up: hand over the whole lines, and wait on where there is none.
        if (deadline.passed && this.#lastEnding() >= 0) break;
      }
    } finally {
      deadline.clear();
    }
    const lastEnding = this.#lastEnding();
    // Nothing but a line that was not read to its end.
    if (this.#failure && !this.#buffer.subarray(0, this.#filled).includes(LF)) throw this.#failure.error;
    this.#taken = lastEnding < 0 ? Math.min(this.#filled, this.#size) : lastEnding + 1;
    return this.#buffer.subarray(0, this.#taken);
  }

  /** The bytes from where lines() started, this many, or all there are. */
  async start(length: number): Promise<Uint8Array> {
    this.#grow(length);
    while (this.#filled < length && (await this.#fill())) {}
    return this.#buffer.subarray(0, Math.min(length, this.#filled));
  }

  /** The bytes from where lines() started, this many; undefined where the source has fewer, or for more than MAX_BUFFER. */
  async peek(length: number): Promise<Uint8Array | undefined> {
    if (length > MAX_BUFFER) return undefined;
    this.#grow(length);
    while (this.#filled < length && (await this.#fill())) {}
    return this.#filled < length ? undefined : this.#buffer.subarray(0, length);
  }

  /** Takes this many bytes, which peek() has shown, instead of those that lines() gave. */
  take(length: number): Uint8Array {
    this.#taken = length;
    return this.#buffer.subarray(0, length);
  }

  /** Whether a line ends after the first so many bytes: there is its ending, or the source ends there. */
  async lineEndsAfter(length: number): Promise<boolean> {
    this.#grow(length + 2);
    while (this.#filled < length + 2 && (await this.#fill())) {}
    const [next, second] = this.#buffer.subarray(length, Math.min(length + 2, this.#filled));
    return (
      next === LF || (next === CR && second === LF) || (next === undefined && this.#drained && !this.#failure)
    );
  }

  /** Passes over a line ending, where one comes next. */
  async skipLineEnding(): Promise<void> {
    this.#forget();
    while (this.#filled < 2 && (await this.#fill())) {}
    if (this.#filled > 0 && this.#buffer[0] === LF) this.#taken = 1;
    else if (this.#filled > 1 && this.#buffer[0] === CR && this.#buffer[1] === LF) this.#taken = 2;
  }

  /** What follows of the line that lines() gave only the start of, with the length of its line ending in the last piece. */
  async *restOfLine(): AsyncGenerator<{ bytes: Uint8Array; ending: number }> {
    let last = this.#buffer[this.#taken - 1];
    for (;;) {
      // First what was read beyond what lines() gave, then more of the source.
      this.#forget();
      if (this.#filled === 0 && !(await this.#fill())) {
        if (this.#failure) throw this.#failure.error;
        return;
      }
      const lf = this.#buffer.subarray(0, this.#filled).indexOf(LF);
      this.#taken = lf < 0 ? this.#filled : lf + 1;
      const before = lf > 0 ? this.#buffer[lf - 1] : last;
      yield { bytes: this.#buffer.subarray(0, this.#taken), ending: lf < 0 ? 0 : before === CR ? 2 : 1 };
      if (lf >= 0) return;
      last = this.#buffer[this.#taken - 1];
    }
  }

  /** Lets go of the source. */
  async close(): Promise<void> {
    // Behind a chunk that has not come, the source would wait with it.
    if (this.#pending) this.#pending.catch(() => {});
    else await this.#chunks.return?.();
  }

  #grow(size: number): void {
    if (size <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(size);
    this.#buffer.copy(larger, 0, 0, this.#filled);
    this.#buffer = larger;
  }

  /** Moves what was not handed out to the start of the buffer. */
  #forget(): void {
    this.#buffer.copyWithin(0, this.#taken, this.#filled);
    this.#filled -= this.#taken;
    this.#taken = 0;
  }

  #lastEnding(): number {
    const end = Math.min(this.#filled, this.#size);
    return end === 0 ? -1 : this.#buffer.lastIndexOf(LF, end - 1);
  }

  /** Takes more of the source into the buffer. False at its end; true also where only the time ran out. */
  async #fill(deadline?: Deadline): Promise<boolean> {
    if (this.#rest.length === 0) {
      if (this.#drained) return false;
      this.#pending ??= this.#chunks.next();
      let next: IteratorResult<Uint8Array> | undefined;
      try {
        next = await (deadline ? deadline.orPassed(this.#pending) : this.#pending);
      } catch (error) {
        if (error instanceof DamagedInput) throw error;
        this.#failure = { error };
        this.#pending = undefined;
        this.#drained = true;
        return false;
      }
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
