import { Decompress } from 'fzstd';
import xxhash from 'xxhash-wasm';

/** The input ended within a frame: what came before is sound. */
export class UnexpectedEnd extends Error {
  override readonly name = 'UnexpectedEnd';
  constructor() {
    super('unexpected end of file');
  }
}

const FRAME = 0xfd2fb528;
/** Frames with these numbers hold no data; pzstd and others write them. */
const SKIPPABLE = { from: 0x184d2a50, to: 0x184d2a5f };

/** Bytes of a dictionary id and of a content size, by their flags in the frame's descriptor. */
const DICTIONARY_BYTES = [0, 1, 2, 4] as const;
const SIZE_BYTES = [0, 2, 4, 8] as const;

/** Bytes that tell zstd input from others. */
export const MAGIC_BYTES = 4;

/** Whether input that starts with these bytes is zstd: with a frame, or one that is skipped. */
export function isZstd(start: Uint8Array): boolean {
  if (start.length < MAGIC_BYTES) return false;
  const magic = new DataView(start.buffer, start.byteOffset).getUint32(0, true);
  return magic === FRAME || isSkippable(magic);
}

function isSkippable(magic: number): boolean {
  return magic >= SKIPPABLE.from && magic <= SKIPPABLE.to;
}

/**
 * Decompresses zstd of one or several frames (RFC 8878), block by block. The
 * library that does it passes over checksums, so the frames are walked here and
 * the content of each that has a checksum is held against it.
 * @throws UnexpectedEnd where it is cut short; Error where it is damaged
 */
export async function* unzstd(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const input = new Bytes(chunks);
  const { create64 } = await xxhash();
  while (!(await input.ended())) {
    const magic = await input.take(MAGIC_BYTES);
    const number = magic.readUInt32LE(0);
    if (isSkippable(number)) await input.skip((await input.take(4)).readUInt32LE(0));
    else if (number === FRAME) yield* frame(input, magic, create64());
    else throw new Error('what follows a zstd frame is none');
  }
}

async function* frame(
  input: Bytes,
  magic: Buffer,
  hash: { update(bytes: Uint8Array): unknown; digest(): bigint },
): AsyncGenerator<Uint8Array> {
  const ready: Uint8Array[] = [];
  const stream = new Decompress((data) => ready.push(data));
  const descriptor = await input.take(1);
  const flags = descriptor.readUInt8(0);
  const single = (flags >> 5) & 1;
  const dictionary = DICTIONARY_BYTES[(flags & 3) as 0 | 1 | 2 | 3];
  const size = SIZE_BYTES[(flags >> 6) as 0 | 1 | 2 | 3] || single;
  stream.push(Buffer.concat([magic, descriptor, await input.take(1 - single + dictionary + size)]));
  for (let last = 0; last === 0; ) {
    const header = await input.take(3);
    const bits = header.readUIntLE(0, 3);
    last = bits & 1;
    const repeated = ((bits >> 1) & 3) === 1;
    stream.push(Buffer.concat([header, await input.take(repeated ? 1 : bits >> 3)]));
    for (const data of ready.splice(0)) {
      hash.update(data);
      yield data;
    }
  }
  const checksum = (flags >> 2) & 1 ? await input.take(4) : undefined;
  stream.push(checksum ?? new Uint8Array(0), true);
  for (const data of ready.splice(0)) {
    hash.update(data);
    yield data;
  }
  if (checksum && BigInt(checksum.readUInt32LE(0)) !== (hash.digest() & 0xffffffffn)) {
    throw new Error('the checksum of a zstd frame does not match its content');
  }
}

/** Chunks taken as runs of so many bytes. */
class Bytes {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  async ended(): Promise<boolean> {
    return this.#rest.length === 0 && !(await this.#more());
  }

  async take(length: number): Promise<Buffer> {
    while (this.#rest.length < length) if (!(await this.#more())) throw new UnexpectedEnd();
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; ) {
      if (await this.ended()) throw new UnexpectedEnd();
      left -= (await this.take(Math.min(left, this.#rest.length))).length;
    }
  }

  async #more(): Promise<boolean> {
    const next = await this.#chunks.next();
    if (next.done) return false;
    this.#rest = Buffer.concat([this.#rest, next.value]);
    return this.#rest.length > 0 || this.#more();
  }
}
