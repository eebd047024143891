import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DamagedInput } from '../ingest/input.ts';
import { type Budget, chunkCost } from './budget.ts';
import { Refusal } from './refusal.ts';

/** A gzip body may be this many times as large as what was sent, once it is larger than FREE_BYTES. */
const MOST_RATIO = 200;
const FREE_BYTES = 4_000_000;
const CHUNK = 256 * 1024;

/**
 * The bytes of a body, decompressed.
 * @param encoding the Content-Encoding header, undefined or empty where there is none
 * @throws Refusal where it is in another encoding than gzip, breaks off, or is a bomb;
 *   DamagedInput with one as its cause where it is damaged: what was read of it and not used yet is not to be used
 */
export async function* decoded(
  chunks: AsyncIterable<Uint8Array>,
  encoding: string | undefined,
): AsyncGenerator<Uint8Array> {
  const name = (encoding ?? '').trim().toLowerCase();
  if (name === '' || name === 'identity') return yield* unbroken(chunks);
  if (name !== 'gzip' && name !== 'x-gzip') {
    throw new Refusal('unsupported', 'the body is in an encoding that is not read', {
      hint: 'send it as it is, or with Content-Encoding: gzip',
    });
  }
  let sent = 0;
  let inflated = 0;
  const counted = async function* () {
    for await (const chunk of unbroken(chunks)) {
      sent += chunk.length;
      yield chunk;
    }
  };
  const gunzip = createGunzip({ chunkSize: CHUNK });
  // A failure on either side ends the other, and comes out of the loop that reads.
  pipeline(Readable.from(counted(), { objectMode: false }), gunzip, () => {});
  try {
    for await (const chunk of gunzip as AsyncIterable<Uint8Array>) {
      inflated += chunk.length;
      if (inflated > FREE_BYTES && inflated > sent * MOST_RATIO) {
        throw new Refusal('too_large', `the body inflates to more than ${MOST_RATIO} times its size`, {
          hint: 'send it uncompressed or in parts',
        });
      }
      yield chunk;
    }
  } catch (error) {
    throw gzipFailure(error);
  }
}

function gzipFailure(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'Z_BUF_ERROR') {
    return new Refusal('malformed', 'the gzip body ends too early', { hint: 'send all of it', cause: error });
  }
  if (code === 'Z_DATA_ERROR') {
    const refusal = new Refusal('malformed', 'the gzip body is damaged', {
      hint: 'compress it again',
      cause: error,
    });
    return new DamagedInput(refusal.message, { cause: refusal });
  }
  return error;
}

async function* unbroken(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks;
  } catch (error) {
    throw new Refusal('malformed', 'the upload broke off', { hint: 'send it again', cause: error });
  }
}

/**
 * A body in one piece, which the budget has room for as long as `use` runs.
 * @param most bytes, beyond which it is refused
 * @throws Refusal
 */
export async function withWhole<T>(
  chunks: AsyncIterable<Uint8Array>,
  { most, budget, sender }: { most: number; budget: Budget; sender: string },
  use: (body: Buffer) => Promise<T>,
): Promise<T> {
  const parts: Uint8Array[] = [];
  let length = 0;
  let taken = 0;
  try {
    for await (const chunk of chunks) {
      if (length + chunk.length > most) {
        throw new Refusal('too_large', `the body has more than ${most} bytes`, {
          hint: 'send it in parts, or as application/x-ndjson, which has no such limit',
        });
      }
      const cost = chunkCost(chunk);
      budget.take(sender, cost);
      taken += cost;
      length += chunk.length;
      parts.push(chunk);
    }
    const body = Buffer.concat(parts, length);
    parts.length = 0;
    return await use(body);
  } finally {
    budget.give(sender, taken);
  }
}
