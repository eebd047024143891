import {
  accessSync,
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  openSync,
  readSync,
  statSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { InfrasageError } from '../errors.ts';
import type { Batch, InputStart } from './batch.ts';
import { DamagedInput, type Pauses } from './input.ts';
import { isZstd, MAGIC_BYTES, UnexpectedEnd, unzstd } from './zstd.ts';

/** One input: a file or standard input. */
export interface Source {
  /** As the operator named it; `-` for standard input. */
  name: string;
  /** Its bytes, decompressed. A chunk is valid until the next is asked for. Throws an InfrasageError (exit 3) where it cannot be read to its end; ends where stop is given. */
  read(stop?: AbortSignal): AsyncIterable<Uint8Array>;
  /** Whether what was read of it cannot be read again. */
  once: boolean;
  /** Its length in bytes, where that is known; it may turn out to be another. */
  length?: number;
  /** What its first batch is chained on; without it, what its options give, so that the same input is recognised. */
  root?: string;
  /** Where it starts, where it goes on after what was read of it before; root is the key of that. */
  from?: InputStart;
  /** How it pauses, where it goes on until it is stopped: then all whole lines that were read are ingested, also of what can be read again. */
  live?: Pauses;
  /** Of what ends where stop is given: whether it had come to its own end. */
  ended?(): boolean;
  /** Waited for before a batch of it is taken. */
  onTake?(batch: TakenBatch): Promise<void>;
  /** The tenant that its lines are bound to; without it, or null, they are bound to none. */
  boundTo?: string | null;
}

/** What is known of a batch before it is written. */
export type TakenBatch = Pick<
  Batch,
  'key' | 'previousKey' | 'firstLine' | 'sourceLines' | 'unfinished' | 'end' | 'ending' | 'known'
>;

const CHUNK = 1 << 20;

/** Standard input. */
export function stdinSource(stdin: Readable & { fd?: unknown }): Source {
  return {
    name: '-',
    once: true,
    read: (stop) => readStream(stdin, 'standard input', stop),
    ended: () => stdin.readableEnded,
    ...(typeof stdin.fd === 'number' && lengthOf(stdin.fd)),
  };
}

/**
 * The length of what a file is read as, from its start: not known of a compressed one, nor of what is no file or cannot
 * be looked at.
 */
function lengthOf(file: string | number): Pick<Source, 'length'> {
  try {
    const status = typeof file === 'number' ? fstatSync(file) : statSync(file);
    return status.isFile() && !startsCompressed(file) ? { length: status.size } : {};
  } catch {
    // What is wrong with it is said by who reads it.
    return {};
  }
}

/**
 * A file. It is looked at now, so that a mistyped name ends the command before anything is ingested.
 * @throws InfrasageError (exit 3): no such file, no permission, a directory
 */
export function fileSource(path: string): Source {
  let regular: boolean;
  try {
    const status = statSync(path);
    if (status.isDirectory())
      throw new InfrasageError(`${path} is a directory`, { hint: 'name the files in it' });
    regular = status.isFile();
    accessSync(path, constants.R_OK);
  } catch (error) {
    throw readFailure(error, path);
  }
  if (regular) return { name: path, once: false, read: () => readFile(path), ...lengthOf(path) };
  let stream: Readable | undefined;
  return {
    name: path,
    once: true,
    read: (stop) => {
      stream = createReadStream(path);
      return readStream(stream, path, stop);
    },
    ended: () => stream?.readableEnded ?? false,
  };
}

/**
 * Whether a file is compressed, by how it starts.
 * @param path of a regular file, or its descriptor
 */
export function startsCompressed(path: string | number): boolean {
  const file = typeof path === 'number' ? path : openSync(path, 'r');
  try {
    const start = Buffer.alloc(MAGIC_BYTES);
    const length = readSync(file, start, 0, start.length, 0);
    return decompressor(start.subarray(0, length)) !== undefined;
  } finally {
    if (file !== path) closeSync(file);
  }
}

/** How bytes are compressed, told by how they start: gzip (also of several members) and zstd (also of several frames). */
function decompressor(
  start: Uint8Array,
): ((chunks: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array>) | undefined {
  if (start[0] === 0x1f && start[1] === 0x8b) return gunzipped;
  if (isZstd(start)) return checkedZstd;
  return undefined;
}

/** Bytes at the start of an input that say whether it is compressed. */
export { MAGIC_BYTES };

/** Whether what starts like this is compressed, and so of another length than what comes out of it. */
export function isCompressed(start: Uint8Array): boolean {
  return decompressor(start) !== undefined;
}

async function* readFile(path: string): AsyncGenerator<Uint8Array> {
  try {
    const file = await open(path);
    try {
      yield* readOpen(file, path);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw readFailure(error, path);
  }
}

/**
 * The bytes of a file that is open, from its start, decompressed. A chunk is valid until the next is asked for.
 * @param name for messages
 * @throws InfrasageError (exit 3) where it cannot be read to its end
 */
export async function* readOpen(file: FileHandle, name: string): AsyncGenerator<Uint8Array> {
  try {
    const start = Buffer.alloc(MAGIC_BYTES);
    const { bytesRead } = await file.read(start, 0, start.length, 0);
    const decompress = decompressor(start.subarray(0, bytesRead));
    if (!decompress) yield* plainChunks(file);
    else yield* decompress(file.createReadStream({ start: 0, highWaterMark: CHUNK, autoClose: false }));
  } catch (error) {
    throw readFailure(error, name);
  }
}

/** A file's bytes in one buffer that is filled again and again: a third of the CPU time of a stream of new ones. */
async function* plainChunks(file: FileHandle): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(CHUNK);
  for (let position = 0; ; ) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** Input that cannot be read at a position: standard input, a named pipe. */
async function* readStream(stream: Readable, name: string, stop?: AbortSignal): AsyncGenerator<Uint8Array> {
  // Waiting for a chunk that may never come ends only with the stream.
  const end = () => stream.destroy();
  stop?.addEventListener('abort', end);
  try {
    const chunks: AsyncIterator<Uint8Array> = stream[Symbol.asyncIterator]();
    const head: Uint8Array[] = [];
    let length = 0;
    while (length < MAGIC_BYTES) {
      const next = await chunks.next();
      if (next.done) break;
      head.push(next.value);
      length += next.value.length;
    }
    const start = Buffer.concat(head);
    const whole = resumed(start, chunks);
    yield* decompressor(start)?.(whole) ?? whole;
  } catch (error) {
    if (!stop?.aborted) throw readFailure(error, name);
  } finally {
    stop?.removeEventListener('abort', end);
  }
}

async function* resumed(start: Buffer, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (start.length > 0) yield start;
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
}

async function* gunzipped(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const gunzip = createGunzip({ chunkSize: CHUNK });
  // A failure on either side ends the other, and comes out of the loop that reads.
  pipeline(Readable.from(chunks, { objectMode: false }), gunzip, () => {});
  try {
    yield* gunzip as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw codeOf(error) === 'Z_DATA_ERROR' ? new Damage(error) : error;
  }
}

async function* checkedZstd(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* unzstd(chunks);
  } catch (error) {
    // An error of the file itself has a system's code; the library's have numbers.
    throw error instanceof UnexpectedEnd || typeof codeOf(error) === 'string' ? error : new Damage(error);
  }
}

/** Compressed input that is not what was compressed; not only the place where that shows may be wrong. */
class Damage extends Error {
  override readonly name = 'Damage';
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function readFailure(error: unknown, name: string): InfrasageError {
  if (error instanceof InfrasageError) return error;
  const code = codeOf(error);
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return new InfrasageError(`there is no file ${name}`, { hint: 'check the name', cause: error });
  if (code === 'EACCES' || code === 'EPERM') {
    return new InfrasageError(`no permission to read ${name}`, {
      hint: 'mend its permissions',
      cause: error,
    });
  }
  if (code === 'EISDIR')
    return new InfrasageError(`${name} is a directory`, { hint: 'name the files in it', cause: error });
  const words = error instanceof Error ? error.message : String(error);
  if (error instanceof Damage) {
    return new DamagedInput(`${name} cannot be read to its end: it is damaged (${words})`, {
      hint: 'get it again; what was ingested of it before the damage showed may be damaged too',
      cause: error,
    });
  }
  return new InfrasageError(`${name} cannot be read to its end: ${words}`, {
    hint: 'get it whole first',
    cause: error,
  });
}
