import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildProgram } from '../src/program.ts';
import { inspectServer } from '../src/store/server/inspect.ts';
import { type Sandbox, sandbox, until } from './helpers/cli.ts';
import { ClickHouseServer } from './helpers/clickhouse-server.ts';
import { event, lines } from './helpers/events.ts';
import { installed } from './helpers/installed.ts';
import { releaseEngine } from './helpers/kept-engine.ts';

const BIN = fileURLToPath(new URL('../bin/infrasage.js', import.meta.url));
const TERMINAL = fileURLToPath(new URL('helpers/terminal.py', import.meta.url));

/** A name that a shell must quote, that readline would split, and that could be run. */
const HOSTILE = "it's a:b=c $(touch x)";

let box: Sandbox;
beforeAll(async () => {
  box = sandbox();
  const tenants = ['acme-corp', 'acme-labs', 'beta', HOSTILE, 'with "quotes"', 'far 🛰'];
  await box.json(['ingest'], { stdin: lines(...tenants.map((tenant_id) => event({ tenant_id }))) });
});
afterAll(() => box.remove());

/** What could come next: the kind, and the words. */
async function next(
  words: string[],
  env: Record<string, string | undefined> = {},
): Promise<[kind: string, ...string[]]> {
  const { status, stdout, stderr } = await box.run(['__complete', 'zsh', '--', ...words], {
    dataDir: false,
    env: { INFRASAGE_DATA_DIR: box.dataDir, ...env },
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const [kind = '', ...found] = stdout.trimEnd().split('\n');
  return [kind, ...found.map((line) => line.split('\t')[0] ?? '')];
}

describe('what could come next', () => {
  it('is a command, a subcommand, an option or a choice, as they are defined', async () => {
    const all = await next(['']);
    expect(all).toEqual(expect.arrayContaining(['ingest', 'usage', 'doctor', 'sql', 'completion', 'help']));
    expect(all).not.toContain('__complete');
    expect(await next(['us'])).toEqual(['words', 'usage']);
    expect(await next(['alerts', 'h'])).toEqual(['words', 'history', 'help']);
    expect(await next(['help', 'bil'])).toEqual(['words', 'billing']);
    expect(await next(['usage', '--s'])).toEqual(['words', '--since']);
    expect(await next(['--j'])).toEqual(['words', '--json']);
    expect(await next(['usage', '--by', 'm'])).toEqual(['words', 'month']);
    expect(await next(['usage', '--by=d'])).toEqual(['words', '--by=day']);
    expect(await next(['--json', 'dlq', 'list', '--error', 'missing_s'])).toEqual([
      'words',
      'missing_service_id',
    ]);
    expect(await next(['completion', 'f'])).toEqual(['words', 'fish']);
    expect(await next(['token', 'create', '--format', 'c'])).toEqual(['words', 'csv']);
    // A value is no command.
    expect(await next(['--database', 'usage', 'bil'])).toEqual(['words', 'billing']);
    expect(await next(['nothing', '--such', ''])).toEqual(['words']);
  });

  it('is every choice of every option and argument, and no format that the command does not print', async () => {
    const { command, load } = buildProgram(
      { writeOut() {}, writeErr() {}, outputError() {} },
      () => () => {},
    );
    for (const one of command.commands) await load(one);
    const every = (of: Command, above: string[]): [string[], Command][] => {
      const words = [...above, of.name()];
      return [[words, of], ...of.commands.flatMap((one) => every(one, words))];
    };
    let asked = 0;
    for (const [words, one] of command.commands.flatMap((first) => every(first, []))) {
      if (words[0] === '__complete') continue;
      const places: [string[], readonly string[] | undefined][] = [
        ...one.options.map(({ long, argChoices }) => [[long ?? ''], argChoices] as [string[], string[]]),
        ...one.registeredArguments
          .slice(0, 1)
          .map(({ argChoices }) => [[], argChoices] as [string[], string[]]),
      ];
      for (const [flag, choices] of places) {
        if (!choices) continue;
        asked += 1;
        expect(await next([...words, ...flag, '']), [...words, ...flag].join(' ')).toEqual([
          'words',
          ...choices,
        ]);
      }
    }
    for (const line of ['usage', 'billing', 'billing history', 'costs', 'doctor']) {
      const { stderr } = await box.run([...line.split(' '), '--format', 'nothing']);
      const [, formats] = /is not a format; use one of (.*)$/m.exec(stderr) ?? [];
      const [, ...offered] = await next([...line.split(' '), '--format', '']);
      expect(offered.join(', '), line).toBe(formats);
    }
    expect(asked).toBeGreaterThan(10);
    expect(await next(['billing', '--format', ''])).toEqual(expect.arrayContaining(['html', 'pdf']));
    expect(await next(['costs', '--format=f'])).toEqual(['words', '--format=focus-csv']);
    const { stdout } = await box.run(['billing', '--help']);
    expect(stdout.replace(/\s+/g, ' ')).toContain('"markdown", "html", "pdf")');
  });

  it('is a file or a directory where one is meant', async () => {
    expect(await next(['ingest', ''])).toEqual(['files']);
    expect(await next(['ingest', 'a', 'b'])).toEqual(['files']);
    expect(await next(['--config', ''])).toEqual(['files']);
    expect(await next(['--data-dir', ''])).toEqual(['directories']);
    expect(await next(['ingest', '--', '-'])).toEqual(['files']);
  });

  it('is a tenant, of the data that the line is about', async () => {
    expect(await next(['usage', '--tenant', 'acme'])).toEqual(['words', 'acme-corp', 'acme-labs']);
    expect(await next(['usage', '--tenant=b'])).toEqual(['words', '--tenant=beta']);
    expect(await next(['--data-dir', join(box.folder, 'nothing'), 'usage', '--tenant', ''])).toEqual([
      'words',
    ]);
    expect(existsSync(join(box.folder, 'nothing'))).toBe(false);
    expect(await next(['--database', 'other', 'usage', '--tenant', ''])).toEqual(['words']);
    expect(existsSync(join(box.dataDir, 'spool', 'other'))).toBe(false);
    expect(await next(['usage', '--tenant', ''], { INFRASAGE_DATABASE: '1st' })).toEqual(['words']);
    expect(await next(['--clickhouse', 'http://127.0.0.1:1', 'usage', '--tenant', ''])).toEqual(['words']);
  });

  it('is asked of no server and no directory that a file in the working directory names', async () => {
    let asked = 0;
    const server = createServer((socket) => {
      asked += 1;
      socket.destroy();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const secret = { INFRASAGE_DATA_DIR: '', INFRASAGE_CLICKHOUSE_PASSWORD: 'a-secret' };
    const words = ['usage', '--tenant', ''];
    const files: string[] = [];
    const write = (name: string, content: string) => {
      const path = box.file(name, content);
      files.push(path);
      chmodSync(path, 0o600);
      return path;
    };
    try {
      for (const name of ['.env', 'infrasage.config.json', 'infrasage.config.yaml']) {
        const path = write(
          name,
          name === '.env' ? `INFRASAGE_CLICKHOUSE_URL=${url}\n` : `{"clickhouse.url": "${url}"}`,
        );
        expect(await next(words, secret)).toEqual(['words']);
        expect(asked, name).toBe(0);
        if (name !== '.env') expect(await next(['--config', name, ...words], secret)).toEqual(['words']);
        else expect(await next(words, { ...secret, INFRASAGE_CLICKHOUSE_URL: url })).toEqual(['words']);
        expect(asked, name).toBeGreaterThan(0);
        asked = 0;
        rmSync(path);
      }
      write('.env', 'INFRASAGE_CLICKHOUSE_CA_FILE=ca.pem\n');
      expect(await next(['--clickhouse', url, ...words], secret)).toEqual(['words']);
      expect(asked).toBe(0);
      write('.env', `INFRASAGE_DATA_DIR=${box.dataDir}\n`);
      expect(await next(words, { INFRASAGE_DATA_DIR: undefined })).toEqual(['words']);
      expect(await next(['--data-dir', box.dataDir, 'usage', '--tenant', 'be'])).toEqual(['words', 'beta']);
    } finally {
      for (const path of files) rmSync(path, { force: true });
      server.close();
    }
  });

  it('waits for nobody who has the data, and asks who shares it', async () => {
    const lock = join(box.dataDir, 'infrasage.lock');
    const busy = box.start(['ingest']);
    busy.stdin.write(lines(event()));
    await until(() => existsSync(lock));
    expect(await next(['usage', '--tenant', ''])).toEqual(['words']);
    busy.stdin.end();
    await busy.done;
    const env = { INFRASAGE_JWT_SECRET: 'x'.repeat(32), INFRASAGE_PORT: '0' };
    const serving = box.start(['serve'], { env });
    await until(() => existsSync(join(box.dataDir, 'infrasage.sock')));
    expect(await next(['usage', '--tenant', 'b'])).toEqual(['words', 'beta']);
    serving.child.kill('SIGTERM');
    await serving.done;
  });

  it('waits for no server that says nothing', async () => {
    const silent = createServer(() => {});
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    try {
      const { port } = silent.address() as AddressInfo;
      const address = {
        url: new URL(`http://127.0.0.1:${port}`),
        user: 'default',
        password: '',
        caFile: undefined,
        retryForMs: 60_000,
      };
      await expect(inspectServer(address, { database: 'infrasage', silenceMs: 100 })).rejects.toThrow(
        /does not answer/,
      );
    } finally {
      silent.close();
    }
  });

  it('is in bash what the quotes that were begun leave as it is', async () => {
    const words = async (typed: string) => {
      const line = `infrasage usage --tenant ${typed}`;
      const env = { INFRASAGE_DATA_DIR: box.dataDir };
      const { stdout } = await box.run(['__complete', 'bash', '--', line, typed], { dataDir: false, env });
      return stdout.trimEnd().split('\n').slice(1);
    };
    expect(await words('it')).toEqual(["it\\'s\\ a:b=c\\ \\$\\(touch\\ x\\)"]);
    expect(await words('"it')).toEqual([]);
    expect(await words("'it")).toEqual([]);
    expect(await words('"ac')).toEqual(['acme-corp', 'acme-labs']);
    expect(await words("'wi")).toEqual(['with "quotes"']);
    expect(await words('"wi')).toEqual([]);
    expect(await words('far')).toEqual(['far\\ \\🛰']);
  });

  it('is a tenant of a ClickHouse server', async () => {
    const server = await ClickHouseServer.start();
    try {
      const env = { INFRASAGE_CLICKHOUSE_URL: server.url };
      expect(await next(['usage', '--tenant', ''], env)).toEqual(['words']);
      expect(await server.sql("SELECT name FROM system.databases WHERE name = 'infrasage'")).toEqual([]);
      await box.json(['ingest'], { stdin: lines(event({ tenant_id: 'there' })), env });
      expect(await next(['usage', '--tenant', 't'], env)).toEqual(['words', 'there']);
    } finally {
      await server.remove();
    }
  });
});

/** How each shell is started with nothing of the user's, and takes a completion. */
const SHELLS = {
  bash: { start: ['bash', '--norc', '--noprofile', '-i'], load: 'source <(infrasage completion bash)' },
  zsh: {
    start: ['zsh', '-f', '-i'],
    load: 'autoload -U compinit; compinit -u -D; source <(infrasage completion zsh)',
  },
  fish: { start: ['fish', '--no-config', '-i'], load: 'infrasage completion fish | source' },
} as const;
type ShellName = keyof typeof SHELLS;

describe.each(Object.keys(SHELLS) as ShellName[])('in %s', (name) => {
  const { start, load } = SHELLS[name];

  /** Types what comes before a tab each, then return; gives the arguments that the program was called with. */
  async function typed(...lines_: string[][]): Promise<string[][]> {
    const bin = join(box.folder, 'bin');
    mkdirSync(bin, { recursive: true });
    box.file(
      'bin/infrasage',
      `#!/bin/sh
case "$1" in __complete|completion) exec "${process.execPath}" "${BIN}" "$@" ;; esac
printf '<called'; for word in "$@"; do printf '|%s' "$word"; done; printf '>\\n'
`,
    );
    chmodSync(join(bin, 'infrasage'), 0o755);
    const steps = [
      [`${load}; echo loa''ded\r`, 'loaded'],
      ...lines_.flatMap((line) => [
        ...line.slice(0, -1).map((keys) => [`${keys}\t`, '.']),
        [`${line.at(-1) ?? ''}\r`, '<called[^>]*>'],
      ]),
    ];
    releaseEngine();
    const { stdout } = await promisify(execFile)('python3', [TERMINAL, JSON.stringify(steps), ...start], {
      cwd: box.folder,
      env: {
        PATH: `${bin}:${process.env.PATH}`,
        HOME: box.folder,
        TERM: 'dumb',
        INFRASAGE_DATA_DIR: box.dataDir,
        PS1: '$ ',
      },
    });
    return (JSON.parse(stdout) as string[])
      .flatMap((text) => [...text.matchAll(/<called([^>]*)>/g)])
      .map(([, words = '']) => words.split('|').slice(1));
  }

  it.runIf(name === 'bash' || installed(name))('completes what was begun, quoted as it must be', async () => {
    expect(
      await typed(
        ['infrasage us', '--b', 'mo', ''],
        ['infrasage usage --by=ho', ''],
        ['infrasage usage --tenant it', ''],
        ['infrasage usage --tenant=with', ''],
        ['infrasage dlq sh', 'x'],
      ),
    ).toEqual([
      ['usage', '--by', 'month'],
      ['usage', '--by=hour'],
      ['usage', '--tenant', HOSTILE],
      ['usage', '--tenant=with "quotes"'],
      ['dlq', 'show', 'x'],
    ]);
    expect(existsSync(join(box.folder, 'x'))).toBe(false);
  });
});
