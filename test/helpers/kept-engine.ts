import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

/*
 * What `chdb` is to the program where it runs in a test's process: the package itself, but that the engine
 * stays up on a data directory after the last session is closed, until another directory is opened or it is released.
 * An engine's start is 100 of the 150 ms of CPU that a report takes, and the tests run some thousand commands.
 */

const chdb = createRequire(import.meta.url)('chdb') as typeof import('chdb');

export const { version } = chdb;

let kept: { path: string; session: InstanceType<typeof chdb.Session> } | undefined;

/** @throws as the package does: one process has one data directory open */
export class Session extends chdb.Session {
  constructor(path: string, options: import('chdb').SessionOptions) {
    releaseEngine({ but: resolve(path) });
    super(path, options);
    kept ??= { path: resolve(path), session: new chdb.Session(path) };
  }
}

/**
 * Stops the engine that was kept: before another process, or the test itself, comes to the directory.
 * @param options.but the directory on which it may go on
 */
export function releaseEngine({ but }: { but?: string | undefined } = {}): void {
  if (kept === undefined || kept.path === but) return;
  kept.session.close();
  kept = undefined;
}

/** Removes a folder in which data directories may be: with the engine up, a merge could write there meanwhile. */
export function removeFolder(folder: string): void {
  releaseEngine();
  rmSync(folder, { recursive: true, force: true });
}
