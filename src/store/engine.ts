import { createRequire } from 'node:module';
import type { Session } from 'chdb';
import { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import type { IdleEngine } from './data-dir.ts';
import type { Params } from './store.ts';
import { removeUnwrittenMutations } from './unwritten.ts';

const require = createRequire(import.meta.url);

/**
 * The engine's allocator gives pages back after a second, not ten: of four million events, ingested in batches of
 * 64 MB, 766 MB at the peak instead of 822, and 3 % more time.
 */
const ALLOCATOR = 'dirty_decay_ms:1000,muzzy_decay_ms:0';
/**
 * Idle threads that the engine keeps. Of its own it keeps 1,000, and comes to have one more every few seconds, each
 * with three open files: 139 after 14 minutes of a followed file.
 */
const CONNECTION_ARGS = ['--max_thread_pool_free_size=32'];

/** The engine that runs inside this process, loaded and not yet started. */
export interface Engine extends IdleEngine {
  /** A session on a data directory, on which the engine is started where it does not run yet. */
  open(path: string): EngineSession;
}

/** Runs one statement at a time; several sessions run theirs side by side. */
export interface EngineSession {
  /**
   * Runs a statement.
   * @param options.format the form of its rows, where it gives any
   * @returns its rows
   * @throws EngineError
   */
  run(sql: string, options?: { format?: string; params?: Params }): Promise<string>;
  /** To be called when nothing runs on it. */
  close(): void;
}

/** What the engine said, in its own words. */
export class EngineError extends Error {
  /** The engine's number for it. */
  readonly code: string;

  constructor(code: string, words: string, cause: unknown) {
    super(words, { cause });
    this.code = code;
  }
}

/**
 * Loads the engine from its package.
 * @throws InfrasageError (exit 3) where it is not there, or does not run on this machine
 */
export async function loadEngine(): Promise<Engine> {
  const { JE_MALLOC_CONF: wanted } = process.env;
  try {
    // Read when the engine is loaded, and not for the processes that this one starts; what the operator has set stands.
    process.env.JE_MALLOC_CONF ??= ALLOCATOR;
    const chdb = await import('chdb');
    if (wanted === undefined) delete process.env.JE_MALLOC_CONF;
    const { version: release } = z.object({ version: z.string() }).parse(require('chdb/package.json'));
    return {
      package: `chdb ${release}`,
      // The binding hands the version over with quotes around it.
      version: () => String(chdb.version().libchdb).replaceAll('"', ''),
      open: (path) => sessionOf(new chdb.Session(path, { connectionArgs: CONNECTION_ARGS })),
    };
  } catch (error) {
    throw new InfrasageError('the embedded engine (the package chdb) cannot be loaded on this machine', {
      hint: 'run npm install again on Linux (glibc) or macOS',
      cause: error,
    });
  }
}

/**
 * The package's own interface, not the driver of servers on top of it: that takes 35 ms to load, a tenth of a report.
 */
function sessionOf(session: Session): EngineSession {
  return {
    async run(sql, { format, params = {} } = {}) {
      const statement = format === undefined ? sql : `${sql}\nFORMAT ${format}`;
      try {
        // Without values of its own, a statement is not kept waiting for others that have some.
        const bound = Object.keys(params).length > 0;
        const result = await (bound
          ? session.queryBindAsync(statement, params)
          : session.queryAsync(statement));
        return result.text();
      } catch (error) {
        throw engineError(error);
      }
    },
    close: () => session.close(),
  };
}

/** `Code: 47. DB::Exception: Unknown identifier. (UNKNOWN_IDENTIFIER)` */
const SAID = /^Code: (?<code>\d+)\..*Exception: (?<words>.*?)(?: ?\([A-Z][A-Z0-9_]{2,}\).*)?$/s;

/** Of what was caused by something else, the words are those of the cause. */
function engineError(error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error);
  const { code, words } = SAID.exec(message)?.groups ?? {};
  return code === undefined || words === undefined
    ? new Error(message, { cause: error })
    : new EngineError(code, words, error);
}

/**
 * A session of the engine on a data directory; what a full disk has left half written there is removed first.
 * @throws InfrasageError (exit 3) where another program has the directory open; the engine's own error otherwise
 */
export function openOn(engine: Engine, dataDir: string): EngineSession {
  try {
    return engine.open(dataDir);
  } catch (error) {
    const outcome = removeUnwrittenMutations(dataDir);
    if (outcome === 'taken') {
      throw new InfrasageError(`the data directory ${dataDir} is in use by another program`, {
        hint: 'wait until it has closed it, or give another --data-dir',
        cause: error,
      });
    }
    if (outcome !== 'removed') throw error;
    return engine.open(dataDir);
  }
}
