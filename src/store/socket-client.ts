import { existsSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { Agent, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { basename, join } from 'node:path';
import { json } from 'node:stream/consumers';
import { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import { programVersion } from '../package.ts';
import { writeAll } from './extract.ts';
import { type LockMode, type NamedLock, withLock } from './named-locks.ts';
import { withShortPath } from './short-path.ts';
import {
  type Extract,
  NO_RETRIES,
  type Params,
  type Question,
  type Selection,
  type SpooledBatch,
  type Store,
  type TextRow,
  type VerdictCount,
  verdictCount,
} from './store.ts';
import {
  asked,
  type Call,
  HEADERS,
  hello,
  lockAnswer,
  packParams,
  SESSION,
  type Sent,
  SOCKET,
  unpackError,
} from './wire.ts';

/**
 * Opens the store that another process of this user shares (see
 * socket-server.ts): it does there whatever it is asked to here, with the same
 * results and errors. Where that process ends, every call fails with exit 3.
 * @returns undefined where nobody shares one, or not any more
 * @throws InfrasageError (exit 3) where the process refuses: another version, a database of a newer program
 */
export async function connectShared({
  dataDir,
  database,
  create = false,
}: {
  dataDir: string;
  database: string;
  create?: boolean;
}): Promise<Store | undefined> {
  const socket = join(dataDir, SOCKET);
  if (!existsSync(socket)) return undefined;
  const agent = new SocketAgent(socket);
  try {
    const session = await send(agent, {
      path: SESSION,
      headers: {
        [HEADERS.database]: database,
        [HEADERS.create]: create ? 'yes' : 'no',
        [HEADERS.version]: programVersion(),
      },
    });
    if (session.statusCode !== 200) throw await refusal(session);
    return new SocketStore(agent, session, { dataDir, database });
  } catch (error) {
    agent.destroy();
    if (error instanceof Lost) return undefined;
    throw error;
  }
}

class SocketStore implements Store {
  readonly database: string;
  readonly engineVersion: string;
  readonly parallelism: number;
  readonly spoolDir: string;
  readonly manyHosts = false;
  readonly retries = NO_RETRIES;
  readonly #lost = new AbortController();
  readonly #agent: SocketAgent;
  readonly #session: IncomingMessage;
  readonly #id: string;

  constructor(
    agent: SocketAgent,
    session: IncomingMessage,
    { dataDir, database }: { dataDir: string; database: string },
  ) {
    const words = hello.parse(JSON.parse(String(session.headers[HEADERS.hello])));
    this.database = database;
    this.engineVersion = words.engineVersion;
    this.parallelism = words.parallelism;
    this.spoolDir = join(dataDir, 'spool', database);
    this.#agent = agent;
    this.#session = session;
    this.#id = words.session;
    session
      .on('error', () => {})
      .on('data', () => void this.#ask('/alive', {}).catch(() => {}))
      .on('close', () => this.#lost.abort(new Lost(undefined)));
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async query<T>(sql: string, row: z.ZodType<T>, params: Params = {}): Promise<T[]> {
    const response = await this.#call('/query', { sql, params: packParams(params) });
    return z.array(row).parse(await rows(response));
  }

  async ask({ sql, params, maxRows }: Question): Promise<string> {
    return asked.parse(await this.#ask('/ask', { sql, params, maxRows })).answer;
  }

  async writeResult(
    { sql, params, format, binary }: Extract,
    file: FileHandle,
    onBytes?: (bytes: number) => void,
  ): Promise<void> {
    const sent = { sql, params: packParams(params), format, binary };
    const response = await this.#call('/extract', sent);
    await received(() => writeAll(file, response, onBytes));
  }

  async command(sql: string, params: Params = {}): Promise<void> {
    await this.#ask('/command', { sql, params: packParams(params) });
  }

  async mutate(sql: string, params: Params = {}): Promise<void> {
    await this.#ask('/mutate', { sql, params: packParams(params) });
  }

  async insert(table: string, ...given: readonly TextRow[]): Promise<void> {
    const texts = given.map((row) =>
      Object.fromEntries(Object.entries(row).map(([column, value]) => [column, String(value)])),
    );
    await this.#ask('/insert', { table, rows: texts });
  }

  async insertSelected(rows: Selection, params: Params = {}): Promise<void> {
    await this.#ask('/insert-selected', { ...rows, columns: [...rows.columns], params: packParams(params) });
  }

  exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    return withLock(this, name, 'exclusive', work);
  }

  async writeBatch(batch: SpooledBatch): Promise<void> {
    await this.#ask('/write-batch', sentBatch(batch));
  }

  /** As in the process that has the engine: what was begun ends before a lock does. */
  async stopBatch(): Promise<void> {}

  async judgeBatch(batch: SpooledBatch): Promise<VerdictCount[]> {
    const verdicts = await this.#ask('/judge-batch', sentBatch(batch));
    return z.array(verdictCount).parse(verdicts);
  }

  async lock(name: string, mode: LockMode = 'exclusive'): Promise<NamedLock> {
    const held = await this.#lock({ name, mode, wait: true });
    if (!held) throw new Error('a lock that was waited for was not given');
    return held;
  }

  tryLock(name: string): Promise<NamedLock | undefined> {
    return this.#lock({ name, mode: 'exclusive', wait: false });
  }

  async close(): Promise<void> {
    this.#session.removeAllListeners('close').destroy();
    this.#agent.destroy();
  }

  async #lock(wanted: Sent<'/lock'>): Promise<NamedLock | undefined> {
    const { lock } = lockAnswer.parse(await this.#ask('/lock', wanted));
    if (lock === null) return undefined;
    return {
      release: async () => {
        try {
          await this.#ask('/unlock', { lock });
        } catch (error) {
          // With the process, its locks are gone.
          if (!(error instanceof InfrasageError)) throw error;
        }
      },
    };
  }

  async #ask<C extends Call>(call: C, sent: Sent<C>): Promise<unknown> {
    return received(() => this.#call(call, sent).then(json));
  }

  async #call<C extends Call>(call: C, sent: Sent<C>): Promise<IncomingMessage> {
    const headers = { [HEADERS.session]: this.#id, 'content-type': 'application/json' };
    const response = await send(this.#agent, { path: call, method: 'POST', headers }, JSON.stringify(sent));
    if (response.statusCode !== 200) throw await refusal(response);
    return response;
  }
}

/** The folder is not sent: the store has its own name for it. */
function sentBatch({
  batchId,
  path,
  source,
  firstLine,
  crlf,
  blank,
  cut,
  bindings,
  receivedAt,
  options,
}: SpooledBatch): Sent<'/write-batch'> {
  return {
    batchId,
    file: basename(path),
    source,
    firstLine,
    crlf,
    blank,
    cut: [...cut],
    bindings: [...bindings],
    receivedAt: receivedAt.toISOString(),
    options,
  };
}

/** Connections to the socket, however long its path. */
class SocketAgent extends Agent {
  readonly #socket: string;

  constructor(socket: string) {
    super({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
    this.#socket = socket;
  }

  override createConnection(): Socket {
    return withShortPath(this.#socket, (path) => connect(path));
  }
}

function send(agent: Agent, options: RequestOptions, body = ''): Promise<IncomingMessage> {
  return received(
    () =>
      new Promise((resolve, reject) => {
        request({ ...options, agent }, resolve)
          .on('error', reject)
          .end(body);
      }),
  );
}

/** Rows that are sent a line each. */
async function rows(response: IncomingMessage): Promise<unknown[]> {
  return received(async () => {
    const found: unknown[] = [];
    let rest = '';
    response.setEncoding('utf8');
    for await (const text of response as AsyncIterable<string>) {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) found.push(JSON.parse(line));
    }
    return found;
  });
}

/** The error that a call was answered with. */
async function refusal(response: IncomingMessage): Promise<Error> {
  const error = unpackError(await received(() => json(response)));
  // Stopping, or started again since.
  const gone = response.statusCode === 503 || response.statusCode === 410;
  return gone ? new Lost(error) : error;
}

/** The process that shared the store has ended, or is about to. */
class Lost extends InfrasageError {
  constructor(cause: unknown) {
    super('the infrasage process that has the data directory open has stopped', {
      hint: 'run the same command again',
      cause,
    });
  }
}

/** Does something over a connection; whatever the system says of it means that the other end is gone. */
async function received<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof Error && 'code' in error && !(error instanceof InfrasageError)
      ? new Lost(error)
      : error;
  }
}
