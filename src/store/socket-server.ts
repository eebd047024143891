import { randomUUID } from 'node:crypto';
import { chmodSync, rmSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { json } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import { databaseName } from '../settings/table.ts';
import { programVersion } from '../version.ts';
import type { EmbeddedDatabase, EmbeddedStore } from './embedded-database.ts';
import { namelessFile } from './extract.ts';
import type { NamedLock } from './named-locks.ts';
import { withShortPath } from './short-path.ts';
import type { LandingBatch } from './store.ts';
import {
  type asked,
  CALLS,
  type Call,
  HEADERS,
  type hello,
  type lockAnswer,
  packError,
  SESSION,
  SOCKET,
} from './wire.ts';

/** Once their statements are done and sharing ends, clients have so long to read the answers, ms. */
const LAST_ANSWERS = 2_000;

/** A client that holds what others wait for, and says nothing for so long, is given up, ms. */
const MOST_SILENCE = 10_000;
/** How often it is asked meanwhile. */
const ASKED = 5;

/** A store that other processes of this user can use. */
export interface SharedStore {
  /**
   * Finishes what is under way for others, then ends their sessions. Who does not read an answer is not waited for. The
   * store stays open.
   */
  close(): Promise<void>;
}

/**
 * Shares an open store: other commands on its data directory work through it,
 * over a socket in that directory which only this user can open (see
 * socket-client.ts). To be closed before the store is.
 * A client that is stopped (Ctrl-Z) does not hold up the others for ever: while they wait for a lock of its, it is
 * asked whether it is alive, and where it does not answer, its session is ended like that of one that has gone.
 * @param store opened with `shares`
 * @param options.silence how long a client may be silent while others wait for it, ms
 * @throws InfrasageError (exit 3) where the socket cannot be made
 */
export async function shareStore(
  store: EmbeddedStore,
  { dataDir, silence = MOST_SILENCE }: { dataDir: string; silence?: number },
): Promise<SharedStore> {
  const path = join(dataDir, SOCKET);
  const sharing = new Sharing(store, silence);
  const server = createServer((request, response) => void sharing.answer(request, response));
  // A client's own wait decides when a connection is idle for too long: closed from here, it could meet a request.
  server.keepAliveTimeout = 0;
  try {
    // What a process that was killed has left behind: who holds the directory's lock owns the name.
    rmSync(path, { force: true });
    await listen(server, path);
    chmodSync(path, 0o600);
  } catch (error) {
    server.close();
    throw new InfrasageError(`the socket ${path} cannot be made`, {
      hint: 'other commands work through it; the file system of the data directory must take sockets',
      cause: error,
    });
  }
  return {
    async close() {
      rmSync(path, { force: true });
      server.close();
      await sharing.end();
      server.closeAllConnections();
    },
  };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    withShortPath(path, (short) => server.listen(short, resolve));
  });
}

/** What one client has here; it ends with its connection. */
interface Session {
  store: EmbeddedDatabase;
  /** The open request that it lives by. */
  response: ServerResponse;
  locks: Map<string, NamedLock & { name: string }>;
  /** Statements under way that change something. */
  changes: Set<Promise<unknown>>;
  /** How often it was asked whether it is alive since it last said so. */
  unanswered: number;
  ended: boolean;
}

/** How each call is answered: what is sent as JSON, or rows. */
type Answers = {
  [C in Call]: (session: Session, sent: z.output<(typeof CALLS)[C]>) => Promise<object | Rows | undefined>;
};

/** Sent a line each, so that no result is one text. */
class Rows {
  readonly rows: readonly unknown[];
  constructor(rows: readonly unknown[]) {
    this.rows = rows;
  }

  /** Lines of JSON in pieces of some size. */
  *text(): Generator<string> {
    let piece = '';
    for (const row of this.rows) {
      piece += `${JSON.stringify(row)}\n`;
      if (piece.length < 1 << 16) continue;
      yield piece;
      piece = '';
    }
    yield piece;
  }
}

/** A result that the engine has written, sent as it is. */
class Written {
  readonly file: FileHandle;
  constructor(file: FileHandle) {
    this.file = file;
  }
}

const ANSWERS: Answers = {
  '/query': async ({ store }, { sql, params }) => new Rows(await store.query(sql, z.unknown(), params)),
  '/ask': async ({ store }, question): Promise<z.infer<typeof asked>> => ({
    answer: await store.ask(question),
  }),
  // To a file first: the engine is not to wait for who reads it, nor anybody for the engine.
  '/extract': async ({ store }, extract) => {
    const file = await namelessFile(store.spoolDir);
    try {
      await store.writeResult(extract, file);
      return new Written(file);
    } catch (error) {
      await file.close();
      throw error;
    }
  },
  '/command': (session, { sql, params }) => changing(session, (store) => store.command(sql, params)),
  '/mutate': (session, { sql, params }) => changing(session, (store) => store.mutate(sql, params)),
  '/insert': (session, { table, rows }) => changing(session, (store) => store.insert(table, ...rows)),
  '/write-batch': (session, sent) =>
    changing(session, (store) => store.writeBatch(spooledBatch(store, sent))),
  '/judge-batch': async ({ store }, sent) => {
    const verdicts = await store.judgeBatch(spooledBatch(store, sent));
    return verdicts.map(({ error, lines, bytes }) => ({ error, lines: String(lines), bytes: String(bytes) }));
  },
  '/lock': async (session, { name, mode, wait }): Promise<z.infer<typeof lockAnswer>> => {
    const { store } = session;
    const held = wait ? await store.lock(name, mode) : await store.tryLock(name);
    if (!held) return { lock: null };
    const lock = randomUUID();
    // Its client may have gone while it waited in line.
    if (session.ended) await held.release();
    else session.locks.set(lock, { name, release: () => held.release() });
    return { lock };
  },
  '/unlock': async ({ locks }, { lock }) => {
    await locks.get(lock)?.release();
    locks.delete(lock);
    return undefined;
  },
  '/alive': async (session) => {
    session.unanswered = 0;
    return undefined;
  },
};

async function changing(
  session: Session,
  change: (store: EmbeddedDatabase) => Promise<void>,
): Promise<undefined> {
  const running = change(session.store);
  session.changes.add(running);
  try {
    await running;
  } finally {
    session.changes.delete(running);
  }
}

/** The file's name has no folder in it, so nothing but what is spooled can be read. */
function spooledBatch(
  store: EmbeddedDatabase,
  { file, ...batch }: z.output<(typeof CALLS)['/write-batch']>,
): LandingBatch {
  return { ...batch, path: join(store.spoolDir, file) };
}

class Sharing {
  readonly #store: EmbeddedStore;
  readonly #sessions = new Map<string, Session>();
  /** Ended sessions with changes under way: their locks are kept until these are done. */
  readonly #draining = new Set<Promise<void>>();
  /** What clients wait for, but for locks: these may be waited for as long as others live. */
  readonly #statements = new Set<Promise<unknown>>();
  readonly #answering = new Set<Promise<void>>();
  /** Ids of sessions that were ended because their clients did not answer. */
  readonly #givenUp = new Set<string>();
  readonly #asking: NodeJS.Timeout;
  #stopping = false;

  constructor(store: EmbeddedStore, silence: number) {
    this.#store = store;
    this.#asking = setInterval(() => this.#askHolders(), silence / ASKED).unref();
  }

  /** Answers a request; never rejects. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answering = this.#answer(request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendJson(response, 500, packError(error));
    });
    if (request.url !== '/lock') this.#answering.add(answering);
    await answering;
    this.#answering.delete(answering);
  }

  /** Refuses what is new, finishes what is under way, and lets go of what the clients hold. */
  async end(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#asking);
    await Promise.allSettled(this.#statements);
    await Promise.race([
      Promise.allSettled(this.#answering),
      setTimeout(LAST_ANSWERS, undefined, { ref: false }),
    ]);
    for (const [id, session] of this.#sessions) {
      session.response.end();
      this.#endSession(id);
    }
    await Promise.allSettled(this.#draining);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { url = '', headers } = request;
    if (this.#stopping) return sendJson(response, 503, packError(stopping()));
    if (url === SESSION) return this.#openSession(headers, response);
    const id = String(headers[HEADERS.session]);
    const session = this.#sessions.get(id);
    if (!session) return this.#refuseEnded(id, response);
    if (!isCall(url)) return sendJson(response, 404, packError(new Error(`there is no call ${url}`)));
    const body = await json(request);
    // Nothing may begin once it is only waited for what has begun.
    if (this.#stopping) return sendJson(response, 503, packError(stopping()));
    // It was given up while this came: others have what it held.
    if (session.ended) return this.#refuseEnded(id, response);
    const statement = runCall(url, session, body);
    if (url !== '/lock') this.#statements.add(statement);
    const result = await statement.finally(() => this.#statements.delete(statement));
    if (result instanceof Written) return sendFile(result, response);
    if (!(result instanceof Rows)) return sendJson(response, 200, result ?? {});
    response.writeHead(200);
    await pipeline(Readable.from(result.text()), response);
  }

  async #openSession(headers: IncomingMessage['headers'], response: ServerResponse): Promise<void> {
    const version = String(headers[HEADERS.version]);
    if (version !== programVersion()) throw otherVersion(version);
    const database = databaseName.parse(headers[HEADERS.database]);
    // What a client that was killed has begun is done or failed before another looks at it.
    await Promise.allSettled(this.#draining);
    const create = headers[HEADERS.create] === 'yes';
    const store = await this.#store.forDatabase(database, { create });
    const id = randomUUID();
    const session: Session = {
      store,
      response,
      locks: new Map(),
      changes: new Set(),
      unanswered: 0,
      ended: false,
    };
    this.#sessions.set(id, session);
    response.once('close', () => this.#endSession(id));
    if (response.destroyed) this.#endSession(id);
    const { engineVersion, parallelism } = store;
    const words: z.infer<typeof hello> = { session: id, engineVersion, parallelism };
    response.writeHead(200, { [HEADERS.hello]: JSON.stringify(words) }).flushHeaders();
  }

  /** For a session that was given up, or of a process before this one: its locks are gone, so it must not go on. */
  #refuseEnded(id: string, response: ServerResponse): void {
    if (this.#givenUp.has(id)) sendJson(response, 409, packError(givenUp()));
    else sendJson(response, 410, packError(stopping()));
  }

  /**
   * Asks who holds what others wait for whether they are alive, and gives up those that did not answer several times.
   * Times are counted, not measured: while this process itself is stopped, nobody can answer.
   */
  #askHolders(): void {
    for (const [id, session] of this.#sessions) {
      const { store, locks, response } = session;
      if (![...locks.values()].some(({ name }) => store.isWanted(name))) continue;
      if (session.unanswered < ASKED) {
        session.unanswered += 1;
        response.write('\n');
      } else {
        this.#givenUp.add(id);
        response.destroy();
        this.#endSession(id);
      }
    }
  }

  #endSession(id: string): void {
    const session = this.#sessions.get(id);
    if (!session) return;
    this.#sessions.delete(id);
    session.ended = true;
    const drained = drain(session).finally(() => this.#draining.delete(drained));
    this.#draining.add(drained);
  }
}

/** The engine does not stop for a client that has gone: only when its changes are done may others have what it locked. */
async function drain({ changes, locks }: Session): Promise<void> {
  await Promise.allSettled(changes);
  for (const lock of locks.values()) await lock.release();
}

async function runCall<C extends Call>(
  call: C,
  session: Session,
  body: unknown,
): Promise<object | Rows | undefined> {
  const sent = CALLS[call].parse(body) as z.output<(typeof CALLS)[C]>;
  return ANSWERS[call](session, sent);
}

function isCall(url: string): url is Call {
  return Object.hasOwn(CALLS, url);
}

async function sendFile({ file }: Written, response: ServerResponse): Promise<void> {
  try {
    response.writeHead(200);
    await pipeline(file.createReadStream({ start: 0, autoClose: false }), response);
  } finally {
    await file.close();
  }
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function stopping(): InfrasageError {
  return new InfrasageError('the infrasage process that has the data directory open is stopping', {
    hint: 'run the same command again',
  });
}

function givenUp(): InfrasageError {
  return new InfrasageError(
    'this command was stopped for a while, and others, who waited for what it held, went on without it',
    { hint: 'run the same command again' },
  );
}

function otherVersion(version: string): InfrasageError {
  return new InfrasageError(
    `the infrasage process that has the data directory open is version ${programVersion()}, and this one is ${version}`,
    { hint: 'start it again with this version' },
  );
}
