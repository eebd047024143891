import type { ClickHouseClient } from '@clickhouse/client';
import { connect, type Engine } from './engine.ts';
import { storeFailure } from './failure.ts';
import { NamedLocks } from './named-locks.ts';
import { Pool } from './pool.ts';

/**
 * Batches written at the same time. One session runs one statement at a time,
 * so each has a session of its own; more than the cores of a laptop gained nothing.
 */
export const WRITERS = 2;

/** Longest statement, bytes: rows are inserted as texts in one, and the engine's own limit is 256 KiB. */
const MAX_STATEMENT = 64 * 1024 * 1024;

/** The engine's sessions on a data directory, which its databases have in common; each is opened when it is first used. */
export class Sessions<Database> {
  readonly dataDir: string;
  readonly writers = new Pool(WRITERS, () => this.#opened());
  readonly locks = new NamedLocks();
  readonly databases = new Map<string, Promise<Database>>();
  readonly #open: () => Promise<ClickHouseClient>;
  readonly #release: () => void;
  readonly #clients: ClickHouseClient[] = [];
  #main: Promise<ClickHouseClient> | undefined;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(dataDir: string, open: () => Promise<ClickHouseClient>, release: () => void) {
    this.dataDir = dataDir;
    this.#open = open;
    this.#release = release;
  }

  /** The session of everything but batches. */
  main(): Promise<ClickHouseClient> {
    this.#main ??= this.#opened();
    return this.#main;
  }

  async run<T>(statement: () => Promise<T>): Promise<T> {
    const running = statement();
    this.#underWay.add(running);
    try {
      return await running;
    } catch (error) {
      throw storeFailure(error);
    } finally {
      this.#underWay.delete(running);
    }
  }

  async close(): Promise<void> {
    // Closing with work in flight can abort the process.
    await Promise.allSettled(this.#underWay);
    for (const client of this.#clients) await client.close();
    this.#release();
  }

  /** Another session, to be closed by who asks. */
  aside(): Promise<ClickHouseClient> {
    return this.#open();
  }

  async #opened(): Promise<ClickHouseClient> {
    const client = await this.#open();
    this.#clients.push(client);
    return client;
  }
}

/** A session of the engine on a data directory, ready for statements; to be closed by who asks. */
export async function openSession(engine: Engine, dataDir: string): Promise<ClickHouseClient> {
  const client = connect(engine, dataDir);
  try {
    // Every batch is counted by a condition of its own: the cache of conditions would only grow with them.
    await client.command({
      query: `SET max_query_size = ${MAX_STATEMENT}, use_query_condition_cache = 0`,
    });
  } catch (error) {
    await client.close();
    throw error;
  }
  return client;
}
