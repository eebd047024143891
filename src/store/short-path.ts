import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** Most bytes of a socket's path that every system takes. */
const LONGEST = 100;

/**
 * Hands over a path for a socket that is short enough to be bound or connected
 * to: where its own is too long, one that leads through a link in the temporary
 * folder. The link is gone when this returns, so the work must be done by then;
 * Node's listen() and connect() on a path are.
 */
export function withShortPath<T>(socket: string, work: (path: string) => T): T {
  if (Buffer.byteLength(socket) <= LONGEST) return work(socket);
  // A temporary folder may have a long name itself.
  const parent = Buffer.byteLength(tmpdir()) <= LONGEST / 2 ? tmpdir() : '/tmp';
  const folder = mkdtempSync(join(parent, 'infrasage-'));
  try {
    const link = join(folder, 'd');
    symlinkSync(dirname(socket), link);
    return work(join(link, basename(socket)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
