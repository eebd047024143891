import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Seen } from './seen.ts';
import type { Ticker } from './ticker.ts';

const CHUNK = 1 << 20;
/** A file whose name has gone to another is taken for complete when it has not grown for so long, ms. */
const QUIET_MS = 5_000;
const ALL_READ = new Uint8Array(0);

/**
 * One open file that is read as it grows, whatever becomes of its name. It is asked how long it is again and again:
 * that works on every file system, and what notifies of changes would have to be followed by the same question.
 */
export class Tail {
  readonly #file: FileHandle;
  readonly #ticker: Ticker;
  readonly seen: Seen;
  /** Device and inode. */
  readonly id: string;
  /** When it was last changed, as last seen, ms. */
  modified: number;
  /** The same when it was last seen with its name. */
  named: number;
  /** Whether its name has gone: it is read until it is quiet. */
  left: boolean;
  /** Whether what was read is not there any more: the file was cut off, and may have grown again. */
  truncated = false;
  /** Whether it cannot be read any further, such as where its file system has lost it. */
  failed = false;
  #changed: bigint | undefined;

  constructor(
    file: FileHandle,
    { id, modified, left, seen }: { id: string; modified: number; left: boolean; seen: Seen },
    ticker: Ticker,
  ) {
    this.#file = file;
    this.id = id;
    this.modified = modified;
    this.named = modified;
    this.left = left;
    this.seen = seen;
    this.#ticker = ticker;
  }

  /** What had the name after it was not changed before this, ms: it may itself be written to for long after that. */
  get since(): number {
    return Math.min(this.modified, this.named);
  }

  /** Whether nothing more is to be had of it. */
  get over(): boolean {
    return this.truncated || this.failed;
  }

  /**
   * What is in it and what comes, until it is stopped, over, or left and quiet; an empty chunk where all there is was
   * read. A chunk is valid until the next is asked for. Throws where it cannot be read.
   */
  async *read(stop: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#chunks(stop);
    } catch (error) {
      this.failed = true;
      throw error;
    }
  }

  async *#chunks(stop: AbortSignal): AsyncGenerator<Uint8Array> {
    const buffer = Buffer.allocUnsafeSlow(CHUNK);
    let since = performance.now();
    while (!this.truncated && !stop.aborted) {
      const chunk = await this.#more(buffer);
      if (chunk) {
        yield chunk;
        since = performance.now();
      } else if (this.left && performance.now() - since >= QUIET_MS) {
        return;
      } else if (!this.truncated) {
        yield ALL_READ;
        await this.#ticker.next();
      }
    }
  }

  /** What became of it since it was read to its end. */
  async change(): Promise<'none' | 'grown' | 'gone'> {
    try {
      const { size, nlink } = await this.#file.stat();
      if (size > this.seen.length) return 'grown';
      return nlink === 0 ? 'gone' : 'none';
    } catch {
      return 'gone';
    }
  }

  /** SHA-256, hex, of some text and so many bytes from a place on; undefined where there are fewer. */
  async hashOfStart(text: string, from: number, length: number): Promise<string | undefined> {
    const { size } = await this.#file.stat();
    if (size < from + length) return undefined;
    const hash = createHash('sha256').update(text);
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, length));
    for (let done = 0; done < length; ) {
      const wanted = Math.min(buffer.length, length - done);
      const { bytesRead } = await this.#file.read(buffer, 0, wanted, from + done);
      if (bytesRead === 0) return undefined;
      hash.update(buffer.subarray(0, bytesRead));
      done += bytesRead;
    }
    return hash.digest('hex');
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /** What comes next; undefined where there is nothing yet, or what was read before is not there any more. */
  async #more(buffer: Buffer): Promise<Uint8Array | undefined> {
    const { size, mtimeNs } = await this.#file.stat({ bigint: true });
    const { length } = this.seen;
    const before = this.#changed;
    if (size === BigInt(length) && mtimeNs === before) return undefined;
    this.#changed = mtimeNs;
    const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, length);
    // Looked at afterwards: a file that is cut off and grows again between the two is not taken for the same.
    const emptied = length === 0 && bytesRead === 0 && before !== undefined;
    if (emptied || size < BigInt(length) || !(await this.#isTheSame())) {
      this.truncated = true;
      return undefined;
    }
    this.modified = Number(mtimeNs) / 1e6;
    if (bytesRead === 0) return undefined;
    const chunk = buffer.subarray(0, bytesRead);
    this.seen.add(chunk);
    return chunk;
  }

  /** Whether the bytes that were read last are still there. */
  async #isTheSame(): Promise<boolean> {
    const before = this.seen.ending();
    const now = Buffer.alloc(before.length);
    const { bytesRead } = await this.#file.read(now, 0, now.length, this.seen.length - before.length);
    return bytesRead === before.length && now.equals(before);
  }
}
