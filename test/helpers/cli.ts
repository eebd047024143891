import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { inject } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { type Ask, embeddedEngine } from './engine.ts';
import { type CliResult, pipeOf, runInside, withoutProgress } from './inside.ts';
import { releaseEngine, removeFolder } from './kept-engine.ts';
import { serverEngine } from './server-engine.ts';

const BIN = fileURLToPath(new URL('../../bin/infrasage.js', import.meta.url));
const BUILT = fileURLToPath(new URL('../../dist/program/cli.js', import.meta.url));

/** What the program reads: bytes or a stream through a pipe, a file as its descriptor, or nothing. */
export type Stdin = Buffer | string | Readable | { file: string };

export interface RunOptions {
  stdin?: Stdin;
  /** Added to a clean environment: PATH, HOME, TMPDIR and NO_COLOR. undefined removes a variable. */
  env?: Record<string, string | undefined>;
  /** Whether its data directory is named in the environment; default true. */
  dataDir?: boolean;
  /** Whether the reader of its standard output goes away at once. */
  closeStdout?: boolean;
  /** What its clock says, where it runs in this process; default the time. */
  now?: Date;
  /** How wide the terminal is that its standard output goes to, where it runs in this process; default none. */
  columns?: number;
}

export type { CliResult } from './inside.ts';

/** A program that is still running. */
export interface Running {
  pid: number;
  stdin: Writable;
  child: ChildProcess;
  done: Promise<CliResult>;
}

/** Whether the tests run on a ClickHouse server: else the engine is embedded. */
export const ON_SERVER = inject('clickhouse') !== undefined;

/**
 * A folder of its own for one test, with a data directory in it that is not there yet. Where the tests run on a
 * ClickHouse server (see vitest.config.ts), commands go to a database of it that no other sandbox has.
 */
export interface Sandbox {
  folder: string;
  dataDir: string;
  /** Where the program makes temporary files. */
  tmp: string;
  /** Writes a file into the folder; returns its path. */
  file(name: string, content: Buffer | string): string;
  /** Runs the program in this process, one at a time (see inside.ts); as apart() where only a process has what it is given. */
  run(args: readonly string[], options?: RunOptions): Promise<CliResult>;
  /** Runs the program in a process of its own. */
  apart(args: readonly string[], options?: RunOptions): Promise<CliResult>;
  /** Starts the program with an open pipe as its standard input. */
  start(args: readonly string[], options?: Omit<RunOptions, 'stdin'>): Running;
  /** Runs a command that must succeed, and parses what it prints with --json. */
  json<T>(args: readonly string[], options?: RunOptions): Promise<T>;
  /** Settled when start() may be used; the others wait for it. */
  ready: Promise<void>;
  /** Gives plain SQL, with nothing of infrasage in between. On the embedded engine, no command may run meanwhile. */
  session<T>(use: (sql: Ask) => Promise<T>): Promise<T>;
  /** One statement of plain SQL. */
  sql: Ask;
  /** Opens the store in this process; to be closed by who asks. */
  openStore(): Promise<Store>;
  /** Ends what is still running and removes the data. */
  remove(): Promise<void>;
}

/** @param options.initialised whether the data directory is there, or the database, as after `infrasage init` */
export function sandbox({ initialised = false }: { initialised?: boolean } = {}): Sandbox {
  if (!existsSync(BUILT)) throw new Error('the program is not built: npm run build');
  const folder = mkdtempSync(join(tmpdir(), 'infrasage-test-'));
  const dataDir = join(folder, 'data');
  const tmp = join(folder, 'tmp');
  mkdirSync(tmp);
  const url = inject('clickhouse');
  const engine =
    url === undefined
      ? embeddedEngine(dataDir, { initialised })
      : serverEngine(url, { dataDir, initialised });
  let isReady = url === undefined;
  const ready = engine.ready.then(() => {
    isReady = true;
  });
  // Whoever uses the engine waits for it, and meets its failure.
  ready.catch(() => {});
  const alive = new Set<ChildProcess>();

  // Not as a flag: hints would repeat it, and not be what the documentation shows.
  const environmentOf = ({ env, dataDir: named = true }: RunOptions) =>
    environment(folder, tmp, { ...engine.env, ...(named && { INFRASAGE_DATA_DIR: dataDir }), ...env });
  const launch = (args: readonly string[], stdio: 'ignore' | 'pipe' | number, options: RunOptions) => {
    releaseEngine();
    const child = spawn(process.execPath, [BIN, ...args], {
      cwd: folder,
      env: environmentOf(options),
      stdio: [stdio, 'pipe', 'pipe'],
    });
    alive.add(child);
    child.once('close', () => alive.delete(child));
    if (options.closeStdout) child.stdout?.destroy();
    return { child, done: outcome(child) };
  };

  const box: Sandbox = {
    folder,
    dataDir,
    tmp,
    ready,
    file(name, content) {
      const path = join(folder, name);
      writeFileSync(path, content);
      return path;
    },
    async run(args, options = {}) {
      const { stdin, closeStdout = false } = options;
      if (closeStdout || isFile(stdin)) return box.apart(args, options);
      await ready;
      return runInside(args, {
        cwd: folder,
        env: environmentOf(options),
        stdin: stdin instanceof Readable ? stdin : pipeOf(stdin ?? ''),
        now: options.now,
        columns: options.columns,
      });
    },
    async apart(args, options = {}) {
      await ready;
      const { stdin } = options;
      if (stdin === undefined) return launch(args, 'ignore', options).done;
      if (isFile(stdin)) {
        const descriptor = openSync(stdin.file, 'r');
        try {
          return await launch(args, descriptor, options).done;
        } finally {
          closeSync(descriptor);
        }
      }
      const { child, done } = launch(args, 'pipe', options);
      const source = stdin instanceof Readable ? stdin : pipeOf(stdin);
      // A program that ends before it has read everything closes its end of the pipe.
      child.stdin?.on('error', () => source.destroy());
      if (child.stdin) source.pipe(child.stdin);
      return done;
    },
    start(args, options = {}) {
      if (!isReady) throw new Error('the sandbox is not ready yet: await it');
      const { child, done } = launch(args, 'pipe', options);
      if (!child.stdin || child.pid === undefined) throw new Error('the program did not start');
      child.stdin.on('error', () => {});
      return { pid: child.pid, stdin: child.stdin, child, done };
    },
    async json<T>(args: readonly string[], options: RunOptions = {}): Promise<T> {
      const { status, stdout, stderr } = await box.run([...args, '--json'], options);
      if (status !== 0) throw new Error(`infrasage ${args.join(' ')} ended with ${status}: ${stderr}`);
      return JSON.parse(stdout) as T;
    },
    async session(use) {
      await ready;
      return engine.session(use);
    },
    sql: (statement) => box.session((sql) => sql(statement)),
    async openStore() {
      await ready;
      return engine.openStore();
    },
    async remove() {
      const clean = alive.size === 0;
      for (const child of alive) child.kill('SIGKILL');
      removeFolder(folder);
      await engine.remove(clean);
    },
  };
  return box;
}

/** Runs a test with a sandbox of its own, whose data directory is not there yet. */
export function withDataDir<T>(use: (box: Sandbox) => Promise<T>): Promise<T> {
  return within(sandbox(), use);
}

/** Runs a test with a sandbox of its own, whose data directory is as `infrasage init` leaves it. */
export function withStore<T>(use: (box: Sandbox) => Promise<T>): Promise<T> {
  return within(sandbox({ initialised: true }), use);
}

async function within<T>(box: Sandbox, use: (box: Sandbox) => Promise<T>): Promise<T> {
  try {
    await box.ready;
    return await use(box);
  } finally {
    await box.remove();
  }
}

/** Looks again and again until something is so; the time limit of the test bounds it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}

function environment(home: string, tmp: string, added: RunOptions['env'] = {}): Record<string, string> {
  const all = { PATH: process.env.PATH, HOME: home, TMPDIR: tmp, NO_COLOR: '1', ...added };
  return Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

function outcome(child: ChildProcess): Promise<CliResult> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) =>
      resolve({
        status,
        ...(signal && { signal }),
        stdout: Buffer.concat(stdout).toString(),
        stderr: withoutProgress(Buffer.concat(stderr).toString()),
      }),
    );
  });
}

function isFile(stdin: Stdin | undefined): stdin is { file: string } {
  return typeof stdin === 'object' && 'file' in stdin;
}
