import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { libchdbPath } from 'chdb/libchdb';
import type { ServerAddress } from '../../src/config.ts';
import { freePort } from './free-port.ts';

const LAUNCHER = fileURLToPath(new URL('clickhouse-server.py', import.meta.url));

/** Serves until it is ended: the listeners live as long as the statement after them runs. */
const SERVE = `SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP;
  SELECT sum(sleepEachRow(0.1)) FROM numbers(1000000000)
  SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0, max_threads = 1 FORMAT Null`;

/** A user beside `default`, who has no password and may do everything. */
export interface ServerUser {
  password: string;
  /** Statements such as `GRANT SELECT ON infrasage.*`; without them, everything is granted. */
  grants?: readonly string[];
  /** Settings of the user's profile. */
  settings?: Readonly<Record<string, string | number>>;
}

export interface ServerOptions {
  users?: Readonly<Record<string, ServerUser>>;
  /** Nodes of clusters by name: each is a shard of its own; ports are those of ClickHouse's own protocol. */
  clusters?: Readonly<Record<string, readonly { tcpPort: number }[]>>;
  /** More elements of the server's configuration file. */
  config?: string;
  /** Settings of the user `default`. */
  settings?: Readonly<Record<string, string | number>>;
  /** Folder of the data: kept when the server is removed. By default one of its own that is removed with it. */
  path?: string;
  httpPort?: number;
  tcpPort?: number;
}

/** A genuine ClickHouse server in a process of its own. */
export class ClickHouseServer {
  readonly httpPort: number;
  readonly tcpPort: number;
  /** As the user `default`. */
  readonly url: string;
  readonly #folder: string;
  readonly #path: string;
  #child: ChildProcess | undefined;

  private constructor(options: ServerOptions, ports: { httpPort: number; tcpPort: number }) {
    this.httpPort = ports.httpPort;
    this.tcpPort = ports.tcpPort;
    this.url = `http://127.0.0.1:${this.httpPort}`;
    this.#folder = mkdtempSync(join(tmpdir(), 'infrasage-server-'));
    this.#path = options.path ?? join(this.#folder, 'data');
    mkdirSync(this.#path, { recursive: true });
    writeFileSync(this.#file('users.xml'), usersXml(options));
    writeFileSync(this.#file('config.xml'), configXml(options, this.#file('users.xml'), ports));
  }

  /** Starts a server on free ports, and waits until it answers. */
  static async start(options: ServerOptions = {}): Promise<ClickHouseServer> {
    const { httpPort = await freePort(), tcpPort = await freePort() } = options;
    const server = new ClickHouseServer(options, { httpPort, tcpPort });
    try {
      await server.start();
    } catch (error) {
      await server.remove();
      throw error;
    }
    return server;
  }

  /** URL with the name and the password of a user in it. */
  urlOf(user: string, password: string): string {
    const url = new URL(this.url);
    url.username = encodeURIComponent(user);
    url.password = encodeURIComponent(password);
    return url.href;
  }

  /** Starts it again after stop() or kill(), on the same ports and data. */
  async start(): Promise<void> {
    const args = [libchdbPath(), 'clickhouse', `--config-file=${this.#file('config.xml')}`];
    const child = spawn('python3', [LAUNCHER, ...args, `--path=${this.#path}`, `--query=${SERVE}`], {
      cwd: this.#folder,
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    this.#child = child;
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    child.once('error', (error) => {
      said += error.message;
    });
    while (!(await this.answers())) {
      if (ended(child)) throw new Error(`the ClickHouse server did not start: ${said}`);
      await setTimeout(20);
    }
  }

  /** Whether its process has not ended, by whatever. */
  get runs(): boolean {
    return this.#child !== undefined && !ended(this.#child);
  }

  async answers(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/ping`)).ok;
    } catch {
      return false;
    }
  }

  /** Ends it as a service manager does. */
  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  /** Ends it at once, as a crash does. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** Stops the clock of the process, until resume(): connections stay open and nobody answers. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Ends it and removes its files. */
  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /**
   * Runs a statement as the user `default`, with nothing of infrasage in between.
   * @returns its rows; 64-bit integers as JavaScript numbers
   */
  sql<Row extends object>(statement: string): Promise<Row[]> {
    return ask(this.url, statement);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (!child || ended(child)) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  #file(name: string): string {
    return join(this.#folder, name);
  }
}

/**
 * Runs a statement on a server, with nothing of infrasage in between.
 * @returns its rows; 64-bit integers as JavaScript numbers
 */
export async function ask<Row extends object>(url: string, statement: string): Promise<Row[]> {
  const settings = 'default_format=JSONEachRow&output_format_json_quote_64bit_integers=0';
  const answer = await fetch(`${url}/?${settings}`, { method: 'POST', body: statement });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Row);
}

/** A server as the user default, waited for not at all. */
export function addressOf(url: string): ServerAddress {
  return { url: new URL(url), user: 'default', password: '', caFile: undefined, retryForMs: 0 };
}

/** Name of the cluster that startCluster starts. */
export const CLUSTER = 'pair';

/** Starts two servers that are the shards of a cluster. */
export async function startCluster({
  users,
}: Pick<ServerOptions, 'users'> = {}): Promise<ClickHouseServer[]> {
  const nodes = [{ tcpPort: await freePort() }, { tcpPort: await freePort() }];
  return Promise.all(
    nodes.map((node) =>
      ClickHouseServer.start({ ...node, ...(users && { users }), clusters: { [CLUSTER]: nodes } }),
    ),
  );
}

/** Gives work a server of its own. */
export async function withServer<T>(
  options: ServerOptions,
  work: (server: ClickHouseServer) => Promise<T>,
): Promise<T> {
  const server = await ClickHouseServer.start(options);
  try {
    return await work(server);
  } finally {
    await server.remove();
  }
}

function ended(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

function configXml(
  { clusters = {}, config = '' }: ServerOptions,
  usersFile: string,
  { httpPort, tcpPort }: { httpPort: number; tcpPort: number },
): string {
  const shard = (port: number) =>
    `<shard><replica><host>127.0.0.1</host><port>${port}</port></replica></shard>`;
  const remote = Object.entries(clusters).map(
    ([name, nodes]) => `<${name}>${nodes.map((node) => shard(node.tcpPort)).join('')}</${name}>`,
  );
  return `<clickhouse>
  <listen_host>127.0.0.1</listen_host>
  <http_port>${httpPort}</http_port>
  <tcp_port>${tcpPort}</tcp_port>
  <users_config>${usersFile}</users_config>
  <max_server_memory_usage>3000000000</max_server_memory_usage>
  <remote_servers>${remote.join('')}</remote_servers>
  ${config}
</clickhouse>
`;
}

function usersXml({ users = {}, settings = {} }: ServerOptions): string {
  const all = Object.entries<ServerUser>({ default: { password: '', settings }, ...users });
  const profiles = all.map(([name, user]) => {
    const values = Object.entries(user.settings ?? {}).map(([key, value]) => `<${key}>${value}</${key}>`);
    return `<${name}>${values.join('')}</${name}>`;
  });
  const accounts = all.map(([name, { password, grants }]) => {
    const granted = grants?.map((grant) => `<query>${escaped(grant)}</query>`).join('');
    return `<${name}>
      <password>${escaped(password)}</password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>${name}</profile>
      <quota>default</quota>
      ${granted === undefined ? '' : `<grants>${granted}</grants>`}
    </${name}>`;
  });
  return `<clickhouse>
  <profiles>${profiles.join('')}</profiles>
  <quotas><default/></quotas>
  <users>${accounts.join('')}</users>
</clickhouse>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
