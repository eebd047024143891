import { type Engine, type EngineSession, openOn } from './engine.ts';
import { storeFailure } from './failure.ts';
import { NamedLocks } from './named-locks.ts';
import { Pool } from './pool.ts';
import { WRITERS } from './store.ts';

/** Longest statement, bytes: rows are inserted as texts in one, and the engine's own limit is 256 KiB. */
const MAX_STATEMENT = 64 * 1024 * 1024;

/** The engine's sessions on a data directory, which its databases have in common; each is opened when it is first used. */
export class Sessions<Database> {
  readonly dataDir: string;
  readonly writers = new Pool(WRITERS, () => this.#opened());
  readonly locks = new NamedLocks();
  readonly databases = new Map<string, Promise<Database>>();
  readonly #open: () => Promise<EngineSession>;
  readonly #release: () => void;
  readonly #sessions: EngineSession[] = [];
  #main: Promise<EngineSession> | undefined;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(dataDir: string, open: () => Promise<EngineSession>, release: () => void) {
    this.dataDir = dataDir;
    this.#open = open;
    this.#release = release;
  }

  /** The session of everything but batches. */
  main(): Promise<EngineSession> {
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
    for (const session of this.#sessions) session.close();
    this.#release();
  }

  /** Another session, to be closed by who asks. */
  aside(): Promise<EngineSession> {
    return this.#open();
  }

  async #opened(): Promise<EngineSession> {
    const session = await this.#open();
    this.#sessions.push(session);
    return session;
  }
}

/** A session of the engine on a data directory, ready for statements; to be closed by who asks. */
export async function openSession(engine: Engine, dataDir: string): Promise<EngineSession> {
  const session = openOn(engine, dataDir);
  try {
    // Every batch is counted by a condition of its own: the cache of conditions would only grow with them.
    await session.run(`SET max_query_size = ${MAX_STATEMENT}, use_query_condition_cache = 0`);
  } catch (error) {
    session.close();
    throw error;
  }
  return session;
}
