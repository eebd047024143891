import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import { InfrasageError } from '../../errors.ts';
import { batchInsert, ONE_BLOCK, verdictsSelect } from '../batch-insert.ts';
import { ENGINE_FORMATS, extractSettings, writeAll } from '../extract.ts';
import { DISK_FULL, questionFailure } from '../failure.ts';
import { type LockMode, type NamedLock, withLock } from '../named-locks.ts';
import { ANSWER_FORMAT, answer, questionSettings } from '../question.ts';
import {
  type Extract,
  type Params,
  type Question,
  type Retries,
  type Selection,
  type SpooledBatch,
  type Store,
  type TextRow,
  uint64,
  type VerdictCount,
  verdictCount,
} from '../store.ts';
import { parseRows } from '../text-rows.ts';
import type { Connection } from './connection.ts';
import { mayPass, Refused, serverFailure } from './failure.ts';
import { assertGranted } from './grants.ts';
import { ProcessLocks } from './locks.ts';
import type { Nodes } from './nodes.ts';
import { persist } from './retry.ts';
import { RowLocks } from './row-locks.ts';
import { fence, fencedFailure, isFenced, Session } from './session.ts';

/** Batches under way at once: while one is sent, another is parsed and a third is counted. */
const PARALLELISM = 3;

/** Free bytes of the server's disks below which no stored rows are changed. */
const MUTATION_ROOM = 8 * 1024 * 1024;

/** Read from a spool file at once. */
const READ_BYTES = 1024 * 1024;

/** Lines of a request's body, as a table. */
const LINES = `input('line String')`;

/** A database of a ClickHouse server, on its own or of a cluster. */
export class ServerStore implements Store {
  readonly database: string;
  readonly engineVersion: string;
  readonly parallelism = PARALLELISM;
  readonly spoolDir: string;
  readonly retries: Retries;
  readonly manyHosts = true;
  readonly #connection: Connection;
  readonly #nodes: Nodes;
  readonly #db: string;
  readonly #session: Session;
  readonly #rowLocks: RowLocks;
  readonly #locks: ProcessLocks;

  constructor(
    connection: Connection,
    nodes: Nodes,
    { database, engineVersion, spoolDir }: Pick<Store, 'database' | 'engineVersion' | 'spoolDir'>,
  ) {
    this.database = database;
    this.engineVersion = engineVersion;
    this.spoolDir = spoolDir;
    this.retries = connection.patience;
    this.#connection = connection;
    this.#nodes = nodes;
    this.#db = `\`${database}\``;
    this.#session = new Session(connection, this.#db, randomUUID(), () =>
      assertGranted(connection, database, 'write'),
    );
    this.#rowLocks = new RowLocks(connection, this.#db, this.#session, randomUUID);
    this.#locks = new ProcessLocks(this.#rowLocks);
  }

  async query<T>(sql: string, row: z.ZodType<T>, params: Params = {}): Promise<T[]> {
    const answer = await this.#connection.run({ sql: this.#named(sql), params });
    return z.array(row).parse(parseRows(answer));
  }

  async ask(question: Question): Promise<string> {
    const settings = {
      ...Object.fromEntries(questionSettings(question.maxRows)),
      default_format: ANSWER_FORMAT,
      database: this.database,
    };
    const run = (sql: string, params: Question['params']) =>
      this.#connection.run({ sql, settings: { ...settings, ...boundAsWritten(sql, params) } });
    try {
      return await answer(run, question);
    } catch (error) {
      throw error instanceof InfrasageError ? questionFailure(error) : error;
    }
  }

  async writeResult(
    { sql, params, ...extract }: Extract,
    file: FileHandle,
    onBytes?: (bytes: number) => void,
  ): Promise<void> {
    const settings = {
      ...Object.fromEntries(extractSettings(extract.format, extract)),
      default_format: ENGINE_FORMATS[extract.format],
    };
    await writeAll(file, this.#connection.stream({ sql: this.#named(sql), params, settings }), onBytes);
  }

  async command(sql: string, params: Params = {}): Promise<void> {
    await this.#nodes.command(sql, params);
  }

  async mutate(sql: string, params: Params = {}): Promise<void> {
    await this.#assertNotFenced();
    const [disk] = await this.query(
      'SELECT min(free_space) AS free FROM system.disks WHERE free_space > 0 OR total_space > 0',
      z.object({ free: uint64 }),
    );
    if (disk && disk.free < MUTATION_ROOM) {
      throw serverFailure(new Refused(500, DISK_FULL, ''), this.#connection.address);
    }
    // A replicated table takes a subquery only so.
    await this.command(`${sql} SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1`, params);
  }

  async insert(table: string, ...rows: readonly TextRow[]): Promise<void> {
    const columns = Object.keys(rows[0] ?? {});
    const texts = rows.map((row) => JSON.stringify(columns.map((column) => String(row[column]))));
    const structure = columns.map((column) => `${column} String`).join(', ');
    await this.#guarded(() =>
      this.#connection.run({
        sql: `INSERT INTO ${this.#db}.${table} (${columns.join(', ')})
          SELECT * FROM input('${structure}') WHERE ${this.#session.guard()} FORMAT JSONCompactEachRow`,
        body: async function* () {
          yield texts.join('\n');
        },
      }),
    );
  }

  async insertSelected({ table, columns, select }: Selection, params: Params = {}): Promise<void> {
    await this.#guarded(() =>
      this.#connection.run({
        sql: this.#named(`INSERT INTO {{db}}.${table} (${columns.join(', ')})
          SELECT * FROM (${select}) WHERE ${this.#session.guard()}`),
        params,
      }),
    );
  }

  async writeBatch(batch: SpooledBatch): Promise<void> {
    const { batchId } = batch;
    await this.#guarded(() =>
      this.#connection.once({
        sql: this.#named(`${batchInsert(batch, LINES, this.#session.guard(batchId))}
          SETTINGS ${ONE_BLOCK} FORMAT LineAsString`),
        body: () => linesOf(batch),
        queryId: batchId,
      }),
    );
  }

  async stopBatch(batchId: string): Promise<void> {
    await fence(this.#connection, this.#db, batchId);
    await this.command('KILL QUERY WHERE query_id = {id:String} OR initial_query_id = {id:String} SYNC', {
      id: batchId,
    });
  }

  judgeBatch(batch: SpooledBatch): Promise<VerdictCount[]> {
    // As a whole: a session does not outlive the server.
    return persist(() => this.#judge(batch, randomUUID()), this.#connection.patience, mayPass);
  }

  /** input() is there in an INSERT alone: the lines go into a temporary table first. */
  async #judge(batch: SpooledBatch, session: string): Promise<VerdictCount[]> {
    const run = (sql: string, body?: () => AsyncIterable<Uint8Array>) =>
      this.#connection.once({ sql, session, ...(body && { body }) });
    await run('CREATE TEMPORARY TABLE infrasage_lines (line String) ENGINE = Memory');
    try {
      await run(`INSERT INTO infrasage_lines SETTINGS ${ONE_BLOCK} FORMAT LineAsString`, () =>
        linesOf(batch),
      );
      const answer = await run(`${verdictsSelect(batch, 'infrasage_lines')} SETTINGS max_threads = 1`);
      return z.array(verdictCount).parse(parseRows(answer));
    } finally {
      await run('DROP TEMPORARY TABLE infrasage_lines').catch(() => {});
    }
  }

  lock(name: string, mode: LockMode = 'exclusive'): Promise<NamedLock> {
    return this.#locks.take(name, mode);
  }

  exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    return withLock(this, name, 'exclusive', work);
  }

  tryLock(name: string): Promise<NamedLock | undefined> {
    return this.#locks.tryTake(name);
  }

  async close(): Promise<void> {
    // Others wait no longer than they must for what this process held; where the server is gone, its term tells them.
    await this.#session.end(this.#rowLocks.areHeld).catch(() => {});
    await this.#nodes.close();
  }

  /** Does a change that carries the guard; says what it means where that refuses it. */
  async #guarded(change: () => Promise<unknown>): Promise<void> {
    try {
      await change();
    } catch (error) {
      throw isFenced(error) ? fencedFailure(error) : error;
    }
  }

  /** For what cannot carry the guard. */
  async #assertNotFenced(): Promise<void> {
    await this.#guarded(() => this.#connection.run({ sql: `SELECT 1 WHERE ${this.#session.guard()}` }));
  }

  #named(sql: string): string {
    return this.#nodes.named(sql);
  }
}

/** Values as somebody has written them: of a list, its own text; of anything else, the text itself. */
function boundAsWritten(sql: string, params: Question['params']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(params).map(([name, value]) => {
      const isList = new RegExp(`\\{${name}:\\s*(Array|Map|Tuple)\\b`).test(sql);
      const escaped = value.replace(/[\\\t\n\r]/g, (c) => ESCAPES[c] ?? c);
      return [`param_${name}`, isList ? value : escaped];
    }),
  );
}

const ESCAPES: Record<string, string> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

/** Opened when it is read: a file that is not there is then a failure of who reads it. */
async function* linesOf({ path }: SpooledBatch): AsyncGenerator<Uint8Array> {
  yield* createReadStream(path, { highWaterMark: READ_BYTES });
}
