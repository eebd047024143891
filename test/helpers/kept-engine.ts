import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import type { Session as EngineSession } from 'chdb';

/*
 * What `chdb/connection` is to the program where it runs in a test's process: the package itself, but that the engine
 * stays up on a data directory after the last connection is closed, until another directory is opened or it is released.
 * An engine's start is 100 of the 150 ms of CPU that a report takes, and the tests run some thousand commands.
 */

const require = createRequire(import.meta.url);
const { Session } = require('chdb') as typeof import('chdb');
const connection = require('chdb/connection') as typeof import('chdb/connection');

let kept: { path: string; session: EngineSession } | undefined;

/** @throws as the package does: one process has one data directory open */
export const createChdbConnection: typeof connection.createChdbConnection = (options) => {
  const path = options?.path === undefined ? undefined : resolve(options.path);
  releaseEngine({ but: path });
  const made = connection.createChdbConnection(options);
  if (path !== undefined) kept ??= { path, session: new Session(path) };
  return made;
};

/**
 * Stops the engine that was kept: before another process, or the test itself, comes to the directory.
 * @param options.but the directory on which it may go on
 */
export function releaseEngine({ but }: { but?: string | undefined } = {}): void {
  if (kept === undefined || kept.path === but) return;
  kept.session.close();
  kept = undefined;
}
