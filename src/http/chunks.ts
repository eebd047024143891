import type { Readable } from 'node:stream';

/**
 * The bytes of a body as they come. Unlike a stream's own iterator, it leaves
 * the stream open where reading ends early or fails: the connection is needed
 * for the answer.
 * @throws what the stream fails with, or an Error where it is closed before its end
 */
export async function* chunksOf(stream: Readable): AsyncGenerator<Uint8Array> {
  let failure: unknown;
  let wake = () => {};
  const look = () => wake();
  const fail = (error: unknown) => {
    failure ??= error;
    wake();
  };
  stream.on('readable', look).on('end', look).on('close', look).on('error', fail);
  try {
    for (;;) {
      const chunk: Uint8Array | null = stream.read();
      if (chunk) yield chunk;
      else if (failure !== undefined) throw failure;
      else if (stream.readableEnded) return;
      else if (stream.destroyed) throw new Error('the connection was closed');
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    stream.off('readable', look).off('end', look).off('close', look).off('error', fail);
  }
}

/**
 * Reads on what nobody wants, so that the sender, which writes before it reads, gets its answer; what goes on for
 * longer than the time is cut off.
 */
export function discardRest(stream: Readable, ms: number): void {
  const timer = setTimeout(() => stream.destroy(), ms);
  stream
    .on('data', () => {})
    .on('error', () => {})
    .once('close', () => clearTimeout(timer))
    .once('end', () => clearTimeout(timer));
}
