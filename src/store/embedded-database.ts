import { type FileHandle, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { usageError } from '../errors.ts';
import { batchInsert, linesOf, ONE_BLOCK, verdictsSelect } from './batch-insert.ts';
import { isKnown, recordVersions } from './data-dir.ts';
import { prepareDirectory } from './directory.ts';
import type { Sessions } from './embedded-sessions.ts';
import { ENGINE_FORMATS, extractSettings, withValues } from './extract.ts';
import { DISK_FULL, noDatabase, questionFailure, storeFailure } from './failure.ts';
import { HeldMerges } from './held-merges.ts';
import { migrate, type TableMaker } from './migrate.ts';
import { type LockMode, type NamedLock, withLock } from './named-locks.ts';
import { ANSWER_FORMAT, answer, questionSettings } from './question.ts';
import {
  type Extract,
  NO_RETRIES,
  type Params,
  type Question,
  type Selection,
  type SpooledBatch,
  type Store,
  type TextRow,
  verdictCount,
  WRITERS,
} from './store.ts';
import { parseRows, rowsOf } from './text-rows.ts';

/** Free bytes below which no stored rows are changed. */
const MUTATION_ROOM = 8 * 1024 * 1024;
/** How often it is told how long a file is that is being written, ms. */
const TOLD_MS = 250;
/** Bytes that a disk must have left after a file was written to it. */
const ROOM = 256 * 1024;
/** A question of the user's own ends after so long, seconds: the process that has the engine may not hear that nobody waits. */
const LONGEST_QUESTION_S = 600;

/** A store whose engine runs in this process, and so has all of its databases. */
export interface EmbeddedStore extends Store, EmbeddedDatabase {
  /**
   * Another database of the same data directory, with its schema brought up to date; works until this store is closed.
   * @param options.create whether it is made where it is not there
   * @throws InfrasageError (exit 3)
   */
  forDatabase(database: string, options: { create: boolean }): Promise<EmbeddedDatabase>;
}

/** One of its databases. */
export interface EmbeddedDatabase extends Omit<Store, 'close'> {
  /** Whether somebody waits in line for a lock. */
  isWanted(lock: string): boolean;
}

/** What runs, and what it came in. */
export interface EngineBuild {
  package: string;
  version: string;
}

/**
 * A database of the sessions' data directory, with its schema brought up to date.
 * @param options.stays whether this process is there for long
 */
export async function openDatabase(
  database: string,
  sessions: Sessions<DatabaseStore>,
  { build, stays }: { build: EngineBuild; stays: boolean },
): Promise<DatabaseStore> {
  const { dataDir } = sessions;
  const store = new DatabaseStore(database, sessions, build);
  const writer = { engine: build.version, package: build.package, database };
  recordVersions(dataDir, writer);
  const schema = await migrate(store, dataDir);
  recordVersions(dataDir, { ...writer, schema });
  if (!stays) await store.holdMerges();
  return store;
}

/**
 * Makes the folders of a database where they are not there.
 * @throws InfrasageError (exit 2) where the engine could not read the directory's name
 */
export function prepareDatabase(dataDir: string, database: string): void {
  if (/[{}*?]/.test(dataDir)) {
    // The engine reads these in the path of a spool file as a pattern.
    throw usageError(`a data directory cannot have {, }, * or ? in its name: ${dataDir}`);
  }
  prepareDirectory(dataDir, 'spool', database);
}

/** A database on the engine of this process. */
export class DatabaseStore implements EmbeddedStore, TableMaker {
  readonly database: string;
  readonly engineVersion: string;
  /** One more than writers: the ledger's rows of one are written beside the lines of the others. */
  readonly parallelism = WRITERS + 1;
  readonly spoolDir: string;
  readonly manyHosts = false;
  readonly retries = NO_RETRIES;
  readonly #sessions: Sessions<DatabaseStore>;
  readonly #build: EngineBuild;
  #merges: HeldMerges | undefined;

  constructor(database: string, sessions: Sessions<DatabaseStore>, build: EngineBuild) {
    this.database = database;
    this.engineVersion = build.version;
    this.#build = build;
    this.spoolDir = join(sessions.dataDir, 'spool', database);
    this.#sessions = sessions;
  }

  async forDatabase(database: string, { create }: { create: boolean }): Promise<DatabaseStore> {
    if (database === this.database) return this;
    const { databases, dataDir } = this.#sessions;
    if (!create && !isKnown(dataDir, database)) throw noDatabase(database, `in ${dataDir}`);
    const open = async () => {
      prepareDatabase(dataDir, database);
      return openDatabase(database, this.#sessions, { build: this.#build, stays: !this.#merges });
    };
    const opened = databases.get(database) ?? open();
    databases.set(database, opened);
    // What could not be opened is tried again by who asks next.
    opened.catch(() => databases.delete(database));
    return opened;
  }

  /** Merges of the raw events wait from now on: see HeldMerges. */
  async holdMerges(): Promise<void> {
    this.#merges = await HeldMerges.of(this);
  }

  async query<T>(sql: string, row: z.ZodType<T>, params: Params = {}): Promise<T[]> {
    const session = await this.#sessions.main();
    const statement = `${this.#named(sql)}\nSETTINGS output_format_json_quote_64bit_integers = 1`;
    const answer = await this.#sessions.run(() => session.run(statement, { format: 'JSONEachRow', params }));
    return z.array(row).parse(parseRows(answer));
  }

  async ask(question: Question): Promise<string> {
    // A session of its own: what is set here holds until it is closed, and cannot be taken back in it.
    const session = await this.#sessions.aside();
    const run = (sql: string, params: Question['params']) =>
      this.#sessions.run(() => session.run(sql, { format: ANSWER_FORMAT, params }));
    try {
      await session.run(`USE \`${this.database}\``);
      const limits: [string, string][] = [['max_execution_time', String(LONGEST_QUESTION_S)]];
      const settings = [...limits, ...questionSettings(question.maxRows)];
      await session.run(`SET ${settings.map((pair) => pair.join(' = ')).join(', ')}`);
      return await answer(run, question);
    } catch (error) {
      throw questionFailure(storeFailure(error));
    } finally {
      session.close();
    }
  }

  async writeResult(extract: Extract, file: FileHandle, onBytes?: (bytes: number) => void): Promise<void> {
    // A session of its own, as one runs one statement at a time.
    const session = await this.#sessions.aside();
    const told =
      onBytes &&
      setInterval(
        () =>
          void file.stat().then(
            ({ size }) => onBytes(size),
            () => {},
          ),
        TOLD_MS,
      );
    try {
      const settings = [...extractSettings(extract.format, extract), ['engine_file_truncate_on_insert', '1']];
      // By its descriptor: no name of a file, which may hold anything, is in the statement.
      const query = `INSERT INTO FUNCTION file('/dev/fd/${file.fd}', '${ENGINE_FORMATS[extract.format]}')
        ${this.#named(withValues(extract.sql, extract.params))}
        SETTINGS ${settings.map(([name, value]) => `${name} = '${value}'`).join(', ')}`;
      await this.#sessions.run(() => session.run(query));
      await assertRoom(file);
    } finally {
      clearInterval(told);
      session.close();
    }
  }

  async command(sql: string, params: Params = {}): Promise<void> {
    const session = await this.#sessions.main();
    await this.#sessions.run(() => session.run(this.#named(sql), { params }));
  }

  /** On the sessions of the writers, side by side: a table took 2.2 ms then, one after the other 4.1. */
  async make(statements: readonly string[]): Promise<void> {
    const { writers } = this.#sessions;
    const left = [...statements];
    const work = async () => {
      const session = await writers.take();
      try {
        for (let sql = left.shift(); sql !== undefined; sql = left.shift())
          await session.run(this.#named(sql));
      } catch (error) {
        left.length = 0;
        throw error;
      } finally {
        writers.give(session);
      }
    };
    await this.#sessions.run(async () => {
      const outcomes = await Promise.allSettled(Array.from({ length: WRITERS }, work));
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    });
  }

  async mutate(sql: string, params: Params = {}): Promise<void> {
    const { bavail, bsize } = await statfs(this.spoolDir);
    if (bavail * bsize < MUTATION_ROOM) throw storeFailure({ code: DISK_FULL, message: '' });
    await this.#merges?.release();
    await this.command(`${sql} SETTINGS mutations_sync = 2`, params);
  }

  async insert(table: string, ...rows: readonly TextRow[]): Promise<void> {
    // Selected, not inline: where standard input is a file, the engine takes an INSERT with inline data
    // for one that is to be read from there. Nothing is bound, as in a batch's own statement: bound ones
    // run one at a time in the whole process, and took half as much CPU again.
    const columns = Object.keys(rows[0] ?? {});
    const structure = columns.map((column) => `${column} String`).join(', ');
    await this.insertSelected({
      table,
      columns,
      select: `SELECT * FROM ${rowsOf(rows, columns, structure)}`,
    });
  }

  insertSelected({ table, columns, select }: Selection, params: Params = {}): Promise<void> {
    return this.command(`INSERT INTO {{db}}.${table} (${columns.join(', ')}) ${select}`, params);
  }

  async writeBatch(batch: SpooledBatch): Promise<void> {
    await this.#merges?.beforeBatch();
    const insert = batchInsert(batch, linesOf(batch.path));
    const session = await this.#sessions.writers.take();
    try {
      const query = this.#named(`${insert} SETTINGS ${ONE_BLOCK}`);
      await this.#sessions.run(() => session.run(query));
    } finally {
      this.#sessions.writers.give(session);
    }
  }

  /** A statement that was begun is done before this process, or a lock of it, ends. */
  async stopBatch(): Promise<void> {}

  async judgeBatch(batch: SpooledBatch) {
    return this.query(verdictsSelect(batch, linesOf(batch.path)), verdictCount);
  }

  lock(name: string, mode: LockMode = 'exclusive'): Promise<NamedLock> {
    return this.#sessions.locks.take(`${this.database} ${name}`, mode);
  }

  isWanted(lock: string): boolean {
    return this.#sessions.locks.isWanted(`${this.database} ${lock}`);
  }

  exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    return withLock(this, name, 'exclusive', work);
  }

  async tryLock(name: string): Promise<NamedLock | undefined> {
    return this.#sessions.locks.tryTake(`${this.database} ${name}`);
  }

  async close(): Promise<void> {
    try {
      await this.#merges?.close();
    } finally {
      await this.#sessions.close();
    }
  }

  #named(sql: string): string {
    return sql.replaceAll('{{db}}', `\`${this.database}\``);
  }
}

/** The engine says nothing where a file could not be written for want of space: whether there is any is tried. */
async function assertRoom(file: FileHandle): Promise<void> {
  const { size } = await file.stat();
  try {
    await file.write(Buffer.alloc(ROOM), 0, ROOM, size);
    await file.truncate(size);
  } catch (error) {
    throw storeFailure(error);
  }
}
