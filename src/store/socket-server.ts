import { chmodSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { json } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout } from 'node:timers/promises';
import type { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import { programVersion } from '../package.ts';
import { databaseName } from '../settings/table.ts';
import type { EmbeddedStore } from './embedded-database.ts';
import { withShortPath } from './short-path.ts';
import { isCall, Rows, runCall, Written } from './socket-calls.ts';
import { ClientSessions } from './socket-sessions.ts';
import { HEADERS, type hello, packError, SESSION, SOCKET } from './wire.ts';

/** Once their statements are done and sharing ends, clients have so long to read the answers, ms. */
const LAST_ANSWERS = 2_000;

/** A client that holds what others wait for, and says nothing for so long, is given up, ms. */
const MOST_SILENCE = 10_000;

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

/** Answers what the clients ask of a store. */
class Sharing {
  readonly #store: EmbeddedStore;
  readonly #sessions: ClientSessions;
  /** What clients wait for, but for locks: these may be waited for as long as others live. */
  readonly #statements = new Set<Promise<unknown>>();
  readonly #answering = new Set<Promise<void>>();
  #stopping = false;

  constructor(store: EmbeddedStore, silence: number) {
    this.#store = store;
    this.#sessions = new ClientSessions(silence);
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
    this.#sessions.stopAsking();
    await Promise.allSettled(this.#statements);
    await Promise.race([
      Promise.allSettled(this.#answering),
      setTimeout(LAST_ANSWERS, undefined, { ref: false }),
    ]);
    await this.#sessions.endAll();
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
    await this.#sessions.drained();
    const create = headers[HEADERS.create] === 'yes';
    const store = await this.#store.forDatabase(database, { create });
    const id = this.#sessions.begin(store, response);
    const { engineVersion, parallelism } = store;
    const words: z.infer<typeof hello> = { session: id, engineVersion, parallelism };
    response.writeHead(200, { [HEADERS.hello]: JSON.stringify(words) }).flushHeaders();
  }

  /** For a session that was given up, or of a process before this one: its locks are gone, so it must not go on. */
  #refuseEnded(id: string, response: ServerResponse): void {
    if (this.#sessions.wasGivenUp(id)) sendJson(response, 409, packError(givenUp()));
    else sendJson(response, 410, packError(stopping()));
  }
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
