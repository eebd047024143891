import { createRequire } from 'node:module';
import { type ClickHouseClient, createClient } from '@clickhouse/client';
import { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import type { IdleEngine } from './data-dir.ts';
import { removeUnwrittenMutations } from './unwritten.ts';

const require = createRequire(import.meta.url);

type DriverConnection = Required<NonNullable<Parameters<typeof createClient>[0]>>['connection'];

/** The engine that runs inside this process, loaded and not yet started. */
export interface Engine extends IdleEngine {
  /** Starts it on a data directory, where it does not run yet. */
  connect(path: string): DriverConnection;
}

/**
 * Loads the engine from its package.
 * @throws InfrasageError (exit 3) where it is not there, or does not run on this machine
 */
export async function loadEngine(): Promise<Engine> {
  try {
    const { version } = await import('chdb');
    const { createChdbConnection } = await import('chdb/connection');
    const { version: release } = z.object({ version: z.string() }).parse(require('chdb/package.json'));
    return {
      package: `chdb ${release}`,
      // The binding hands the version over with quotes around it.
      version: () => String(version().libchdb).replaceAll('"', ''),
      // The binding carries its own copy of the driver's types, equal but for a private field.
      connect: (path) => createChdbConnection({ path }) as unknown as DriverConnection,
    };
  } catch (error) {
    throw new InfrasageError('the embedded engine (the package chdb) cannot be loaded on this machine', {
      hint: 'run npm install again on Linux (glibc) or macOS',
      cause: error,
    });
  }
}

/**
 * A session of the engine on a data directory; what a full disk has left half written there is removed first.
 * @throws InfrasageError (exit 3) where another program has the directory open; the engine's own error otherwise
 */
export function connect(engine: Engine, dataDir: string): ClickHouseClient {
  try {
    return createClient({ connection: engine.connect(dataDir) });
  } catch (error) {
    const outcome = removeUnwrittenMutations(dataDir);
    if (outcome === 'taken') {
      throw new InfrasageError(`the data directory ${dataDir} is in use by another program`, {
        hint: 'wait until it has closed it, or give another --data-dir',
        cause: error,
      });
    }
    if (outcome !== 'removed') throw error;
    return createClient({ connection: engine.connect(dataDir) });
  }
}
