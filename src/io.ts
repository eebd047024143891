import type { Readable, Writable } from 'node:stream';
import { InfrasageError } from './errors.ts';

/** A stream to write text to; the properties of a terminal are there where it is one. */
export type Output = Writable & { isTTY?: boolean; columns?: number; rows?: number };

/** Everything the program takes from its surroundings, so that a test can hand it in. */
export interface Io {
  stdin: Readable & { isTTY?: boolean; fd?: number; setRawMode?: (raw: boolean) => unknown };
  stdout: Output;
  stderr: Output;
  env: Readonly<Record<string, string | undefined>>;
  /** The current time. */
  now(): Date;
}

/** The surroundings of this process. */
export function processIo(): Io {
  const { stdin, stdout, stderr, env } = process;
  return { stdin, stdout: sized(stdout), stderr: sized(stderr), env, now: () => new Date() };
}

/**
 * A terminal that nobody has told its size, such as the one `script` makes in a cron job, is of 0 columns. It is taken
 * for the usual one: ora never comes to the end of a line of no width.
 */
function sized<Stream extends Output>(out: Stream): Stream {
  if (out.isTTY && !out.columns) Object.assign(out, { columns: 80, rows: 24 });
  return out;
}

/** Writes text or bytes and waits until the stream takes more. A reader that has gone away is not an error. */
export async function write(out: Output, text: string | Uint8Array): Promise<void> {
  if (text.length === 0 || out.destroyed || !out.writable) return;
  await new Promise<void>((resolve, reject) => {
    out.write(text, (error) => (error && !isBrokenPipe(error) ? reject(outputFailure(error)) : resolve()));
  });
}

function outputFailure(cause: Error): InfrasageError {
  return new InfrasageError(`the output cannot be written: ${cause.message}`, {
    hint: 'what was ingested is safe',
    cause,
  });
}

/** Whether an error says that the reading end of a pipe was closed. */
export function isBrokenPipe(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED')
  );
}
