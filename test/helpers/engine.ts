import { Session } from 'chdb';
import { openEmbedded } from '../../src/store/embedded.ts';
import type { Store } from '../../src/store/store.ts';
import { releaseEngine } from './kept-engine.ts';
import { initialised as copyInitialised } from './template.ts';

/** Runs one statement; its rows, 64-bit integers as JavaScript numbers. */
export type Sql = <Row extends object>(statement: string) => Row[];

/** The same, of any engine. {{db}} is the database. */
export type Ask = <Row extends object>(statement: string) => Promise<Row[]>;

/** Where a sandbox has its data. */
export interface Engine {
  /** The variables that bring a command there. */
  readonly env: Readonly<Record<string, string>>;
  /** Settled when the engine may be used: where that was asked for, the schema is there and nothing else. */
  readonly ready: Promise<void>;
  /** Gives plain SQL, with nothing of infrasage in between. On the embedded engine, no command may run meanwhile. */
  session<T>(use: (ask: Ask) => Promise<T>): Promise<T>;
  /** Opens the store in this process; to be closed by who asks. */
  openStore(): Promise<Store>;
  /** @param clean whether no program that was using it had to be killed */
  remove(clean: boolean): Promise<void>;
}

/** Opens a plain engine session on a data directory, with nothing of infrasage in between. No command may run meanwhile. */
export async function withEngine<T>(dataDir: string, use: (sql: Sql) => T | Promise<T>): Promise<T> {
  releaseEngine({ but: dataDir });
  const session = new Session(dataDir);
  try {
    // Where the engine was kept, a command has left them held: see src/store/held-merges.ts.
    session.query('SYSTEM START MERGES');
    return await use(<Row extends object>(statement: string) =>
      session
        .query(statement, 'JSONEachRow')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Row),
    );
  } finally {
    session.close();
  }
}

/** The engine of this process on a data directory that no other process has. */
export function embeddedEngine(dataDir: string, { initialised }: { initialised: boolean }): Engine {
  const database = 'infrasage';
  if (initialised) copyInitialised(dataDir);
  return {
    env: {},
    ready: Promise.resolve(),
    session: (use) =>
      withEngine(dataDir, (sql) => use(async (statement) => sql(statement.replaceAll('{{db}}', database)))),
    openStore: () => openEmbedded({ dataDir, database, command: 'test' }),
    remove: async () => {},
  };
}
