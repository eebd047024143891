import { Readable, Writable } from 'node:stream';
import { run } from '../../src/cli.ts';

/** What a run of the program has printed, and how it ended. */
export interface CliResult {
  /** null where a signal ended it. */
  status: number | null;
  /** The signal that ended it, if one did. */
  signal?: NodeJS.Signals;
  stdout: string;
  /** Without the lines of progress. */
  stderr: string;
}

/** What a process has one of, for all of it. */
interface Surroundings {
  cwd: string;
  /** All that the program may read of the environment. */
  env: Readonly<Record<string, string>>;
  stdin: Readable;
  /** What the clock says; default the time. */
  now?: Date | undefined;
  /** How wide the terminal is that standard output goes to; default none. */
  columns?: number | undefined;
}

let underWay: string | undefined;

/**
 * Runs the program in this process as bin/infrasage.js does in its own: the same arguments, surroundings and
 * store on disk, opened and closed; a tenth of the time, which is what a process takes to load the engine.
 * Not here: what the engine itself writes on standard error, signals, descriptors, and two at once.
 * @throws Error where another run is under way: they would have one folder, environment and engine between them
 */
export async function runInside(
  args: readonly string[],
  { cwd, env, stdin, now, columns }: Surroundings,
): Promise<CliResult> {
  const name = `infrasage ${args.join(' ')}`;
  if (underWay !== undefined) throw new Error(`${name} beside ${underWay}: give one a process, with apart()`);
  underWay = name;
  const restore = enter(cwd, env);
  const stdout = new Kept(columns);
  const stderr = new Kept();
  try {
    const status = await run(args, { stdin, stdout, stderr, env, now: () => now ?? new Date() });
    return { status, stdout: stdout.text(), stderr: withoutProgress(stderr.text()) };
  } finally {
    restore();
    underWay = undefined;
  }
}

/** What was said on standard error, without the lines of progress: whether there are any depends on how fast it went. */
export function withoutProgress(stderr: string): string {
  return stderr.replace(/^[a-z]+ing( [^\n]*)? · [^\n]*\n/gm, '');
}

/** A pipe that holds these bytes; it hands them over in pieces, as one does. */
export function pipeOf(content: Buffer | string): Readable {
  const bytes = Buffer.from(content);
  const pieces = function* () {
    for (let at = 0; at < bytes.length; at += PIPE_BYTES) yield bytes.subarray(at, at + PIPE_BYTES);
  };
  return Readable.from(pieces(), { objectMode: false });
}

const PIPE_BYTES = 64 * 1024;

/** Variables that Node itself reads, from the process and not from what the program is given. */
const READ_BY_NODE = ['HOME', 'TMPDIR'] as const;

/** Makes the surroundings the process's own; returns what makes the old ones so again. */
function enter(cwd: string, env: Readonly<Record<string, string>>): () => void {
  const folder = process.cwd();
  const variables = READ_BY_NODE.map((name) => [name, process.env[name]] as const);
  const mask = process.umask(0o022);
  process.chdir(cwd);
  for (const name of READ_BY_NODE) setVariable(name, env[name]);
  return () => {
    for (const [name, value] of variables) setVariable(name, value);
    process.chdir(folder);
    process.umask(mask);
  };
}

function setVariable(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}

class Kept extends Writable {
  readonly #chunks: Buffer[] = [];
  readonly isTTY: boolean;
  readonly columns?: number;

  constructor(columns?: number) {
    super();
    this.isTTY = columns !== undefined;
    if (columns !== undefined) this.columns = columns;
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.#chunks.push(chunk);
    done();
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString();
  }
}
