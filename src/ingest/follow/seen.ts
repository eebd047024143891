import type { FileHandle } from 'node:fs/promises';
import { type Fingerprint, HEAD_BYTES, isPrintOf } from './positions.ts';

/** The start of what was read of a file, and its end. */
export class Seen {
  /** Bytes that were read, with those that were read another time. */
  length: number;
  #head: Buffer;
  #recent: Buffer;

  /** @param before how much was read another time, its first bytes and its last */
  constructor(before: { length: number; head: Buffer; recent: Buffer } = NOTHING) {
    this.length = before.length;
    this.#head = before.head;
    this.#recent = before.recent;
  }

  add(bytes: Uint8Array): void {
    if (this.#head.length < HEAD_BYTES) {
      this.#head = Buffer.concat([this.#head, bytes.subarray(0, HEAD_BYTES - this.#head.length)]);
    }
    const end = bytes.subarray(Math.max(0, bytes.length - HEAD_BYTES));
    this.#recent = Buffer.concat([this.#recent, end]).subarray(-HEAD_BYTES);
    this.length += bytes.length;
  }

  /** Its first bytes, at most HEAD_BYTES and at most so many. */
  head(length: number): Buffer {
    return this.#head.subarray(0, length);
  }

  /** Its last bytes, at most HEAD_BYTES and at most so many. */
  ending(length: number = HEAD_BYTES): Buffer {
    return this.#recent.subarray(Math.max(0, this.#recent.length - length));
  }

  /** Whether it starts like this; undefined where that is not known yet. */
  headIs(print: Fingerprint): boolean | undefined {
    if (this.#head.length < print.length) return undefined;
    return isPrintOf(print, this.head(print.length));
  }
}

const NOTHING = { length: 0, head: Buffer.alloc(0), recent: Buffer.alloc(0) };

/** So many bytes of a file, as they were read another time. */
export async function seenBefore(file: FileHandle, length: number): Promise<Seen> {
  const part = async (from: number) => {
    const bytes = Buffer.alloc(Math.min(HEAD_BYTES, length));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, from);
    return bytes.subarray(0, bytesRead);
  };
  return new Seen({ length, head: await part(0), recent: await part(Math.max(0, length - HEAD_BYTES)) });
}
