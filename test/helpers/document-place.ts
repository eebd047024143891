import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Sandbox, sandbox } from './cli.ts';
import { ownCommand } from './documents.ts';
import { freePort } from './free-port.ts';
import type { CliResult } from './inside.ts';
import { releaseEngine } from './kept-engine.ts';
import { type Serving, serve } from './serve.ts';

const BIN = fileURLToPath(new URL('../../bin/infrasage.js', import.meta.url));

/** How wide the terminal is that the pages were written from. */
const COLUMNS = 80;

/** Where the commands of a page are run: a folder, a clock, and what they have left in their shell. */
export interface Place {
  box: Sandbox;
  /** What the clock says; undefined where it is the machine's. */
  now: Date | undefined;
  /** Variables that are set beside those of the sandbox. */
  env: Record<string, string>;
  /** The example events, the last of which is of that time; default the time. */
  events(now?: Date): Promise<string>;
  /** Runs a command line of a page: in this process where it can be, else in a shell that knows what earlier ones set. */
  perform(command: string, options?: { isShown?: boolean }): Promise<CliResult>;
  /** Runs a command of the program that must succeed. */
  run(line: string): Promise<void>;
  /** Starts the server as a page says, on a free port; later commands find it there. */
  serve(): Promise<CliResult>;
  remove(): Promise<void>;
}

/** @param now what the clock says; undefined for that of the machine */
export function place(now?: Date): Place {
  const box = sandbox({ initialised: true });
  const env: Record<string, string> = {};
  const words = standIns(box);
  let server: Serving | undefined;
  let port: number | undefined;
  const dates = monthsOf(now);

  const events = async (at = new Date()) =>
    (await box.run(['demo', '--events'], { dataDir: false, now: at })).stdout;

  /** What a shell prints; what it has set is there for the next one. */
  async function shell(script: string): Promise<CliResult> {
    if (server === undefined) releaseEngine();
    port ??= await freePort();
    const all = script.replaceAll('http://localhost:8080', server?.url ?? `http://localhost:${port}`);
    const before = existsSync(join(box.folder, SET)) ? `. ./${SET}` : '';
    // What runs beside the others ends with them, however they end.
    const [first, last] = / &$/m.test(script)
      ? ["trap 'kill $!; wait $!' EXIT", '']
      : ['set -a', `export -p > ${SET}`];
    const run = promisify(execFile)('sh', ['-c', ['set -e', first, before, all, last].join('\n')], {
      cwd: box.folder,
      env: {
        ...{ PATH: `${words}:${process.env.PATH}`, HOME: box.folder, TMPDIR: box.tmp, NO_COLOR: '1' },
        ...{ INFRASAGE_DATA_DIR: box.dataDir, INFRASAGE_PORT: String(port), ...env },
      },
    });
    return run.then(
      ({ stdout, stderr }) => ({ status: 0, stdout, stderr }),
      ({ code, stdout, stderr }) => ({ status: code, stdout, stderr }),
    );
  }

  async function perform(command: string, { isShown = false } = {}): Promise<CliResult> {
    const line = await named(dates(command));
    const own = ownCommand(line);
    if (own === undefined) return shell(line);
    const result = await box.run(own.args, {
      env,
      ...(now && { now }),
      ...(own.stdin && { stdin: readFileSync(join(box.folder, own.stdin)) }),
      ...(isShown && own.stdout === undefined && { columns: COLUMNS }),
    });
    if (own.stdout === undefined) return result;
    writeFileSync(join(box.folder, own.stdout), result.stdout);
    return { ...result, stdout: '' };
  }

  /** Dead letters are named after their bytes, and those after the time. */
  async function named(command: string): Promise<string> {
    if (!/[0-9a-f]{12}\.1-/.test(command)) return command;
    const { groups } = await box.json<{ groups: { example: string }[] }>(['dlq', 'list']);
    return command.replace(/[0-9a-f]{12}(?=\.1-)/g, groups[0]?.example.slice(0, 12) ?? '');
  }

  return {
    ...{ box, now, env, events, perform },
    async run(line) {
      const { status, stderr } = await perform(`infrasage ${line}`);
      if (status !== 0) throw new Error(`infrasage ${line} ended with ${status}: ${stderr}`);
    },
    async serve() {
      const { stdout } = await shell('printf %s "$INFRASAGE_JWT_SECRET"');
      server = await serve(box, { ...env, INFRASAGE_JWT_SECRET: stdout });
      return { status: server.url === '' ? 3 : 0, stdout: '', stderr: server.said() };
    },
    remove: () => box.remove(),
  };
}

/** Where a shell keeps what it has set. */
const SET = '.set';

/** The words that a shell of a page finds before all others: the program, and what a machine may lack. */
function standIns(box: Sandbox): string {
  const folder = join(box.folder, 'bin');
  mkdirSync(folder);
  const scripts = {
    infrasage: `exec "${process.execPath}" "${BIN}" "$@"`,
    npx: `shift; exec "${process.execPath}" "${BIN}" "$@"`,
    // The checkout is installed and built: these tests run from it.
    npm: 'exit 0',
    journalctl: `echo '{"service_id":"app","timestamp":"'"$(date -u +%FT%TZ)"'","body":"started"}'`,
    jq: `exec "${process.execPath}" -e '${JQ}' -- "$@"`,
  };
  for (const [name, script] of Object.entries(scripts))
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return folder;
}

/** As much of jq as is shown: `.` and `-r .name`. */
const JQ = `
  const [path, name] = process.argv.reverse()[0].split(".");
  const value = JSON.parse(require("fs").readFileSync(0));
  console.log(name ? value[name] : JSON.stringify(value, null, 2));`;

/** The month that the pages were written in. */
const WRITTEN_IN = 2026 * 12 + 10;

/** Moves the dates of a command by months, to where they lie as seen from the clock; for the machine's, into the past. */
function monthsOf(now: Date | undefined): (text: string) => string {
  const at = now ?? new Date();
  const there = at.getUTCFullYear() * 12 + at.getUTCMonth() - (now ? 0 : 1);
  return (text) =>
    text.replace(/\b(20\d\d)-(\d\d)\b/g, (_, year: string, month: string) => {
      const moved = Number(year) * 12 + Number(month) - 1 + there - WRITTEN_IN;
      return `${Math.floor(moved / 12)}-${String((moved % 12) + 1).padStart(2, '0')}`;
    });
}

/** What was printed, with the names of this machine as they are on the pages: the data directory and the user. */
export function asWritten(text: string, { box }: Place): string {
  const user = new RegExp(`(?<=owner\\s+|\\d{4}-\\d\\d {2})${userInfo().username}(?!\\S)`, 'g');
  return text.replaceAll(box.dataDir, '/var/lib/infrasage').replace(user, 'root');
}
