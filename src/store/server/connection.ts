import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import {
  type ClickHouseClient,
  ClickHouseLogLevel,
  type ClickHouseSettings,
  createClient,
} from '@clickhouse/client';
import type { ServerAddress } from '../../config.ts';
import { InfrasageError } from '../../errors.ts';
import { quoted } from '../literal.ts';
import type { Params, Retries } from '../store.ts';
import { mayPass, Refused, serverFailure } from './failure.ts';
import { type Patience, persist } from './retry.ts';

/** A connection on which nothing comes for so long is taken for broken, ms. */
const SILENCE_MS = 120_000;
/** The server says that it is at work, in a header each; all headers of an answer must fit. */
const PROGRESS_MS = 10_000;
const MOST_HEADER_BYTES = 1024 * 1024;
/** Longest value that is bound, characters: the server takes 128 KiB, and a proxy in front of it may take less. */
const MOST_BOUND = 64 * 1024;

/** Longest statement, bytes: long lists are written into it. */
const MAX_STATEMENT = 64 * 1024 * 1024;

/** What is asked of every statement, whatever the user's profile says. */
const SETTINGS: ClickHouseSettings = {
  // 64-bit integers as text, which JavaScript does not round.
  output_format_json_quote_64bit_integers: 1,
  // An answer begins when the statement is done, so that its status is the statement's.
  wait_end_of_query: 1,
  send_progress_in_http_headers: 1,
  http_headers_progress_interval_ms: String(PROGRESS_MS),
  cancel_http_readonly_queries_on_client_close: 1,
  // What is acknowledged is stored, once for each time it was sent.
  async_insert: 0,
  insert_deduplicate: 0,
  join_use_nulls: 0,
  // On a cluster too, and a subquery of such a table sees all of it.
  distributed_foreground_insert: 1,
  distributed_product_mode: 'global',
  // Done by the node that is asked, once: by default each would do it on its own part.
  parallel_distributed_insert_select: '0',
  // Of the nodes that have the same rows, one is written to and asked as long as it is there: a lock is a row that others must see.
  load_balancing: 'in_order',
};

export interface Statement {
  sql: string;
  params?: Params;
  /** What follows the SQL; made anew for each try. */
  body?: () => AsyncIterable<Uint8Array | string>;
  queryId?: string;
  /** Beside those of every statement, and over them: what goes into the address of the request, `database` too. */
  settings?: Readonly<Record<string, string>>;
  /** Statements of one session have its temporary tables, and run one at a time. */
  session?: string;
}

/** HTTP to one server. Failures are InfrasageErrors with exit status 3; Interrupted where they may pass. */
export class Connection {
  readonly address: ServerAddress;
  readonly patience: Patience;
  /** The same to another server, as the same user. */
  readonly to: (url: URL) => Connection;
  readonly #client: ClickHouseClient;
  /** Whether nothing has worked since something failed that is waited for. */
  #waiting = false;

  /**
   * @param onWait told of the first failure that is waited for, each time the server has not answered
   * @param silenceMs a connection on which nothing comes for so long is taken for broken
   * @throws InfrasageError (exit 3) where the file of certificates cannot be read
   */
  constructor(
    address: ServerAddress,
    again: Retries,
    onWait: (failure: InfrasageError) => void,
    silenceMs = SILENCE_MS,
  ) {
    this.address = address;
    this.to = (url) => new Connection({ ...address, url }, again, onWait, silenceMs);
    this.patience = {
      ...again,
      onWait: (failure) => {
        if (!this.#waiting) onWait(serverFailure(failure, address));
        this.#waiting = true;
      },
    };
    const { url, user, password, caFile } = address;
    this.#client = createClient({
      url: url.origin,
      pathname: url.pathname,
      username: user,
      password,
      request_timeout: silenceMs,
      max_response_headers_size: MOST_HEADER_BYTES,
      max_open_connections: 32,
      // On one machine, compressing costs more than it saves: half of the speed.
      compression: { request: isLoopback(url.hostname) ? false : { codec: 'gzip', level: 1 } },
      clickhouse_settings: SETTINGS,
      log: { level: ClickHouseLogLevel.OFF },
      ...(caFile === undefined ? {} : { tls: { ca_cert: readCertificates(caFile) } }),
    });
  }

  /** Runs a statement that may be repeated, for as long as patience lasts; returns what it printed. */
  async run(statement: Statement): Promise<string> {
    try {
      return await persist(() => this.#try(statement), this.patience, mayPass);
    } catch (error) {
      throw serverFailure(error, this.address);
    }
  }

  /** Runs a statement once. Interrupted leaves open whether it was, or will be, done. */
  async once(statement: Statement): Promise<string> {
    try {
      return await this.#try(statement);
    } catch (error) {
      throw serverFailure(error, this.address);
    }
  }

  /**
   * Runs a SELECT once, and gives its answer as it comes. One that breaks off, also with the server's own words, is a
   * failure.
   */
  async *stream(statement: Statement): AsyncGenerator<Uint8Array> {
    try {
      const settings = { ...statement.settings, wait_end_of_query: '0' };
      const { stream, response_headers, status } = await this.#send({ ...statement, settings });
      const code = response_headers['x-clickhouse-exception-code'];
      if (status !== 200 || code !== undefined) throw refused(status, code, await text(stream));
      const tag = response_headers['x-clickhouse-exception-tag'];
      yield* typeof tag === 'string' ? untilException(stream, tag) : stream;
    } catch (error) {
      throw serverFailure(error, this.address);
    }
  }

  async #try(statement: Statement): Promise<string> {
    const { stream, response_headers, status } = await this.#send(statement);
    const answer = await text(stream);
    const code = response_headers['x-clickhouse-exception-code'];
    this.#waiting = false;
    if (status === 200 && code === undefined) return answer;
    throw refused(status, code, answer);
  }

  async #send({ sql, params = {}, body, queryId, session, settings = {} }: Statement) {
    const { query, bound } = bind(sql, params);
    const { http_status_code: status = 0, ...answer } = await this.#client.exec({
      // With a body, the driver would put the SQL into the address, where there is little room.
      ...(body === undefined
        ? { query }
        : { query: '', values: Readable.from(following(query, body()), { objectMode: false }) }),
      query_params: bound,
      clickhouse_settings: {
        default_format: 'JSONEachRow',
        // The server looks for the statement in so many bytes, and begins it only when it has read them: with more
        // than the statement has, it would be begun when most of the body is there, and all of it kept in memory.
        max_query_size: String(body === undefined ? MAX_STATEMENT : Buffer.byteLength(query) + 2),
        ...settings,
      } as ClickHouseSettings,
      ignore_error_response: true,
      ...(queryId === undefined ? {} : { query_id: queryId }),
      ...(session === undefined ? {} : { session_id: session }),
    });
    return { ...answer, status };
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}

function refused(status: number, code: unknown, answer: string): Refused {
  return new Refused(status, typeof code === 'string' ? code : codeIn(answer), answer.trim());
}

/** Longest text that a server ends an answer with where it fails halfway. */
const MOST_EXCEPTION = 32 * 1024;

/** An answer, up to the exception that may end it, with a mark that is this answer's own, before the connection is cut. */
async function* untilException(stream: AsyncIterable<Uint8Array>, tag: string): AsyncGenerator<Uint8Array> {
  let held: Buffer = Buffer.alloc(0);
  let cut: { error: unknown } | undefined;
  try {
    for await (const piece of stream) {
      held = Buffer.concat([held, piece]);
      if (held.length <= MOST_EXCEPTION) continue;
      yield held.subarray(0, held.length - MOST_EXCEPTION);
      held = held.subarray(held.length - MOST_EXCEPTION);
    }
  } catch (error) {
    cut = { error };
  }
  const [, words] = held.toString('latin1').split(`__exception__\r\n${tag}\r\n`);
  if (words !== undefined) throw refused(200, undefined, Buffer.from(words, 'latin1').toString());
  if (cut) throw cut.error;
  yield held;
}

async function* following(
  sql: string,
  body: AsyncIterable<Uint8Array | string>,
): AsyncGenerator<Uint8Array | string> {
  yield `${sql}\n`;
  yield* body;
}

/** The SQL and what is bound to it; what is too long for an address is written into the SQL, as hexadecimal digits. */
function bind(sql: string, params: Params): { query: string; bound: Record<string, unknown> } {
  let query = sql;
  const bound: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(params)) {
    if (!Array.isArray(value) || JSON.stringify(value, (_, v) => String(v)).length <= MOST_BOUND) {
      bound[name] = value;
      continue;
    }
    const list = `[${value.map((one) => quoted(String(one))).join()}]`;
    query = query.replaceAll(
      new RegExp(`\\{${name}:([^}]+)\\}`, 'g'),
      (_, type) => `CAST(${list}, '${type}')`,
    );
  }
  return { query, bound };
}

/** Old servers, and errors before a statement, come without the header. */
function codeIn(answer: string): string | undefined {
  return /^Code: (\d+)\. DB::/.exec(answer)?.[1] ?? /^Poco::Exception. Code: (\d+)/.exec(answer)?.[1];
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127\./.test(host);
}

function readCertificates(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new InfrasageError(`the certificates of INFRASAGE_CLICKHOUSE_CA_FILE cannot be read: ${path}`, {
      hint: 'name a PEM file that this user can read',
      cause: error,
    });
  }
}
