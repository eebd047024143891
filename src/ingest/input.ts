import { InfrasageError } from '../errors.ts';

/** Input that was found damaged: what was read of it and not yet handed on is not to be used. */
export class DamagedInput extends InfrasageError {}

export const LF = 10;
export const CR = 13;

/** The largest buffer, and so the largest batch. */
export const MAX_BUFFER = 64_000_000;

/**
 * How a source that may go on for ever pauses: it tells, by an empty chunk, that all there is was read; or it is
 * silent, and what does not come for flushMs is not there. Only the first does not depend on how busy the machine is.
 */
export type Pauses = 'told' | 'silent';

/**
 * The bytes of a source, gathered in one buffer that is used again and again:
 * what is not yet handed out is moved to its start only where the room is needed.
 * What it hands out is valid until the next call.
 */
export class Input {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #flushMs: number;
  /** How the source pauses, where it may do so for ever: then nothing waits for more of it than a line. */
  readonly #live: Pauses | undefined;
  /** Most bytes that lines() hands out; the buffer may have grown beyond. */
  readonly #size: number;
  #buffer: Buffer;
  /** Where in the source the buffer starts. */
  #passed = 0;
  /** Places in the buffer: where what is offered starts, where what was handed out of it ends, and where the bytes end. */
  #start = 0;
  #taken = 0;
  #end = 0;
  /** Until when the bytes that come next are held back for more. */
  #deadline = new Deadline(0);
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
   * @param flushMs how long lines are held back for more, from their first byte on. Milliseconds
   * @param live how it pauses, where peek() takes for all there is what is there before a pause
   */
  constructor(chunks: AsyncIterable<Uint8Array>, size: number, flushMs: number, live?: Pauses) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#live = live;
    this.#flushMs = flushMs;
    this.#size = size;
    this.#buffer = Buffer.allocUnsafeSlow(size);
  }

  /** Whether what was last handed out is the end of the source. */
  get ended(): boolean {
    return this.#drained && !this.#failure && this.#rest.length === 0 && this.#taken === this.#end;
  }

  /** Throws what the source failed with, if it did, whatever came before that. */
  assertSound(): void {
    if (this.#failure) throw this.#failure.error;
  }

  /** Bytes of the source up to the end of what was handed out. */
  get position(): number {
    return this.#passed + this.#taken;
  }

  /** A copy of the end of what was last handed out, at most this many bytes. */
  ending(length: number): Uint8Array {
    return Uint8Array.from(this.#buffer.subarray(Math.max(this.#start, this.#taken - length), this.#taken));
  }

  /** Drops these bytes where the source starts with them. */
  async skip(mark: readonly number[]): Promise<void> {
    const maybe = () => this.#offered(this.#filled).every((byte, i) => byte === mark[i]);
    while (this.#filled < mark.length && maybe() && (await this.#fill())) {}
    if (this.#filled >= mark.length && mark.every((byte, i) => this.#buffer[i] === byte))
      this.take(mark.length);
  }

  /** Bytes that come next, at most this many, with the first line among them or as much of it; nothing at the end. */
  async startOfLine(length: number): Promise<Uint8Array> {
    this.#forget();
    this.#makeRoom(length);
    const start = () => this.#offered(Math.min(length, this.#filled));
    const deadline = new Deadline(this.#flushMs);
    this.#deadline = deadline;
    if (this.#filled > 0) deadline.start();
    while (this.#filled < length && !start().includes(LF) && (await this.#fill())) {
      if (this.#filled > 0) deadline.start();
    }
    if (this.#failure && this.#filled === 0) throw this.#failure.error;
    return start();
  }

  /**
   * The whole lines from where startOfLine() has begun: as many as fit, or as
   * came within the time. The last line of the source where it has no ending;
   * the full buffer where a line does not fit in it.
   * @param enough bytes of which no more are given, where a line ends among them
   */
  async lines(enough = this.#size): Promise<Uint8Array> {
    this.#makeRoom(this.#size);
    const deadline = this.#deadline;
    // When the time is up: hand over the whole lines, and wait on where there is none.
    const due = () => deadline.passed && this.#lastEnding(this.#size) >= 0;
    while (this.#filled < enough && !due() && (await this.#fill(deadline))) {}
    const most = this.#lastEnding(enough) >= 0 ? enough : this.#size;
    while (this.#filled < most && !due() && (await this.#fill(deadline))) {}
    const lastEnding = this.#lastEnding(most);
    // Nothing but a line that was not read to its end.
    if (this.#failure && !this.#offered(this.#filled).includes(LF)) throw this.#failure.error;
    return this.take(lastEnding < 0 ? Math.min(this.#filled, this.#size) : lastEnding + 1);
  }

  /** The bytes that come next, this many; undefined where the source has fewer, or for more than MAX_BUFFER. */
  async peek(length: number): Promise<Uint8Array | undefined> {
    if (length > MAX_BUFFER) return undefined;
    const there = this.#live ? this.#haveBeforeAPause(length) : this.#have(length);
    return (await there) ? this.#offered(length) : undefined;
  }

  /** Takes this many bytes, which peek() has shown, or lines() as the start of what it gave. */
  take(length: number): Uint8Array {
    this.#taken = this.#start + length;
    return this.#offered(length);
  }

  /** Whether a line ends after the first so many bytes: there is its ending, or the source ends there. */
  async lineEndsAfter(length: number): Promise<boolean> {
    await this.#have(length + 2);
    const [next, second] = this.#offered(Math.min(length + 2, this.#filled)).subarray(length);
    return (
      next === LF || (next === CR && second === LF) || (next === undefined && this.#drained && !this.#failure)
    );
  }

  /** Passes over a line ending, where one comes next. */
  async skipLineEnding(): Promise<void> {
    this.#forget();
    await this.#have(2);
    const [first, second] = this.#offered(Math.min(2, this.#filled));
    if (first === LF) this.take(1);
    else if (first === CR && second === LF) this.take(2);
  }

  /** What follows of the line that lines() gave only the start of, with the length of its line ending in the last piece. */
  async *restOfLine(): AsyncGenerator<{ bytes: Uint8Array; ending: number }> {
    let last = this.#buffer[this.#taken - 1];
    for (;;) {
      // First what was read beyond what lines() gave, then more of the source.
      this.#forget();
      if (!(await this.#have(1))) {
        if (this.#failure) throw this.#failure.error;
        return;
      }
      const there = this.#offered(this.#filled);
      const lf = there.indexOf(LF);
      const before = lf > 0 ? there[lf - 1] : last;
      last = there[there.length - 1];
      yield { bytes: this.take(lf < 0 ? there.length : lf + 1), ending: lf < 0 ? 0 : before === CR ? 2 : 1 };
      if (lf >= 0) return;
    }
  }

  /** Lets go of the source. */
  async close(): Promise<void> {
    this.#deadline.clear();
    // Behind a chunk that has not come, the source would wait with it.
    if (this.#pending) this.#pending.catch(() => {});
    else await this.#chunks.return?.();
  }

  /** Bytes in the buffer that are not yet handed out, and those that are offered. */
  get #filled(): number {
    return this.#end - this.#start;
  }

  #offered(length: number): Buffer {
    return this.#buffer.subarray(this.#start, this.#start + length);
  }

  /** Goes on after what was handed out. */
  #forget(): void {
    this.#deadline.clear();
    this.#start = this.#taken;
  }

  /** Reads on until this many bytes are there; false where the source has fewer. */
  async #have(length: number): Promise<boolean> {
    this.#makeRoom(length);
    while (this.#filled < length && (await this.#fill())) {}
    return this.#filled >= length;
  }

  /** The same; false also where the source pauses first. */
  async #haveBeforeAPause(length: number): Promise<boolean> {
    this.#makeRoom(length);
    // A chunk that was asked for earlier may tell of a pause that is over.
    let early = this.#live === 'told' && this.#pending !== undefined;
    while (this.#filled < length) {
      const before = this.#filled;
      const pause = new Deadline(this.#flushMs);
      if (this.#live === 'silent') pause.start();
      const more = await this.#fill(pause);
      pause.clear();
      if (!more || (this.#filled === before && !early)) return false;
      early = false;
    }
    return true;
  }

  /** Sees to it that this many bytes fit in the buffer from where what is offered starts. */
  #makeRoom(length: number): void {
    if (this.#start + length <= this.#buffer.length) return;
    const roomy = length <= this.#buffer.length ? this.#buffer : Buffer.allocUnsafeSlow(length);
    this.#buffer.copy(roomy, 0, this.#start, this.#end);
    this.#buffer = roomy;
    this.#passed += this.#start;
    this.#taken -= this.#start;
    this.#end -= this.#start;
    this.#start = 0;
  }

  /** Place of the last line ending among so many bytes of what lines() may give, from where that starts. */
  #lastEnding(most: number): number {
    return this.#offered(Math.min(this.#filled, most)).lastIndexOf(LF);
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
    const room = Math.min(this.#rest.length, this.#buffer.length - this.#end);
    this.#buffer.set(this.#rest.subarray(0, room), this.#end);
    this.#end += room;
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
