import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Session } from 'chdb';
import stringWidth from 'string-width';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type CliResult,
  type RunOptions,
  type Sandbox,
  sandbox,
  until,
  withDataDir,
  withStore,
} from './helpers/cli.ts';
import { withEngine } from './helpers/engine.ts';
import { event, lines } from './helpers/events.ts';
import { activeCharacters, parseCsv } from './helpers/formats.ts';

const FORMATS = ['table', 'json', 'ndjson', 'csv', 'markdown'];
const isRoot = process.getuid?.() === 0;

/** A failure as an operator must see it: one line on standard error that starts with the program's name, and no stack. */
function expectFailure(result: CliResult, status: number, words: RegExp): void {
  expect(result.stderr).toMatch(words);
  expect(result.stderr).toMatch(/^infrasage: [^\n]+\n$/);
  expect(result.stderr).not.toMatch(/unexpected error|the engine said/);
  expect(result).toMatchObject({ status, stdout: '' });
}

describe('without a data directory', () => {
  let box: Sandbox;
  beforeAll(() => {
    box = sandbox();
  });
  afterAll(() => box.remove());

  test('--version', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    expect(await box.apart(['--version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });

  test('--help lists every command with what it does, and shows the main job', async () => {
    const { status, stdout, stderr } = await box.apart(['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const command of ['ingest', 'usage', 'services', 'billing', 'tenants', 'quota', 'alerts', 'dlq']) {
      expect(stdout).toMatch(new RegExp(`^ {2}${command} +\\S`, 'm'));
    }
    for (const line of ['ingest < events.ndjson', 'usage --since 24h', 'billing --month', 'alerts add 80']) {
      expect(stdout).toContain(`  infrasage ${line}\n`);
    }
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  test.each([
    [
      ['ingest', '--help'],
      ['--max-line <bytes>', '--dry-run', 'infrasage ingest < events.ndjson'],
    ],
    [
      ['usage', '--help'],
      ['--since <time>', '--by <grouping>', 'infrasage usage --since 24h'],
    ],
    [
      ['help', 'usage'],
      ['--since <time>', '--by <grouping>', 'infrasage usage --since 24h'],
    ],
    [
      ['alerts', 'add', '--help'],
      ['--email <address>', '1 to 1000'],
    ],
    [
      ['dlq', '--help'],
      ['list', 'show', 'infrasage dlq list'],
    ],
  ])('%j has the options and examples', async (args, texts) => {
    const { status, stdout, stderr } = await box.run(args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const text of texts) expect(stdout).toContain(text);
  });

  test('nothing asked for: the help, on standard error, exit 2', async () => {
    const { status, stdout, stderr } = await box.apart([], { dataDir: false });
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('Usage: infrasage');
  });

  test.each([
    ['usgae', 'usage'],
    ['igest', 'ingest'],
    ['biling --month', 'billing'],
    ['usage --sinse 24h', '--since'],
    ['ingest --dryrun x', '--dry-run'],
    ['alerts ad 80', 'add'],
    ['--jsn usage', '--json'],
  ])('mistyped: %s, did you mean %s?', async (line, meant) => {
    const { status, stdout, stderr } = await box.run(line.split(' '));
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^infrasage: unknown (command|option) '/);
    expect(stderr).toContain(`(Did you mean ${meant}?)`);
    expect(stderr).not.toMatch(/^ +at /m);
  });

  test.each([
    ['usage --since yesterday', /--since yesterday is not a time/],
    ['usage --since 2026-02-30', /--since 2026-02-30 is not a time/],
    ['usage --since 2024-01-01T25:00:00Z', /--since .* is not a time/],
    ['usage --since 99999999999w', /--since 99999999999w is not a time/],
    ['usage --since 2024-01-02 --until 2024-01-02', /--since 2024-01-02 is not before --until 2024-01-02/],
    ['usage --by color', /--by color is not a grouping; use one of event_type, /],
    ['usage --format xml', /--format or INFRASAGE_FORMAT must be one of table, json, ndjson, csv, markdown/],
    ['usage --json --format csv', /contradict/],
    ['services --limit 0', /--limit 0 is not a number of rows/],
    ['services --limit ten', /--limit ten is not a number of rows/],
    ['dlq list --limit 1e21', /--limit 1e21 is not a number of rows/],
    ['billing', /billing needs the month/],
    ['billing --month 2026-13', /--month 2026-13 is not a month/],
    ['billing --month 26-01', /--month 26-01 is not a month/],
    ['billing --month 0026-01', /--month 0026-01 is not a month/],
    ['ingest --max-line 1', /--max-line must be at least 2 bytes/],
    ['ingest --max-line big', /--max-line must be a number of bytes/],
    ['ingest --max-age 5', /--max-age 5 is not a time span/],
    ['ingest --max-age 0.001m', /--max-age 0.001m/],
    ['ingest --flush-interval 0', /--flush-interval 0 is not/],
    ['ingest --default-type metrics', /--default-type must be one of metric, log, /],
    ['ingest - -', /standard input \(-\) can be read only once/],
    ['alerts add 80 --email nobody', /--email must be an e-mail address/],
    ['alerts add 80 --webhook http://acme.example', /the webhook must be an https URL/],
    ['--database 1st usage', /--database .*must be letters, digits and underscores/],
  ])('a bad value: %s', async (line, words) => {
    expectFailure(await box.run(line.split(' ')), 2, words);
  });

  test('a bad tenant', async () => {
    for (const tenant of ['', 'a\u0007b', 'x'.repeat(129)]) {
      expectFailure(
        await box.run(['usage', `--tenant=${tenant}`]),
        2,
        /--tenant .*must be 1 to 128 characters/,
      );
    }
    expectFailure(
      await box.run(['usage'], { env: { INFRASAGE_TENANT: '\u001b[31m' } }),
      2,
      /INFRASAGE_TENANT must be 1 to 128 characters/,
    );
  });

  test('none of that has made a data directory: wrong usage is found out before', () => {
    expect(existsSync(box.dataDir)).toBe(false);
  });

  test('input that cannot be read', async () => {
    expectFailure(await box.apart(['ingest', 'nowhere.ndjson']), 3, /there is no file nowhere\.ndjson/);
    expectFailure(await box.run(['ingest', box.folder]), 3, /is a directory; name the files in it/);
    const file = box.file('file', '');
    const under = await box.run(['ingest', join(file, 'events.ndjson')]);
    expectFailure(under, 3, /file\/events\.ndjson/);
    expect(under.stderr).not.toMatch(/cut short|damaged/);
  });

  test.skipIf(isRoot)('input that may not be read', async () => {
    const path = box.file('secret.ndjson', lines(event()));
    chmodSync(path, 0);
    expectFailure(await box.run(['ingest', path]), 3, /no permission to read .*secret\.ndjson/);
  });
});

describe('the data directory', () => {
  test('a file, or under a file', () =>
    withDataDir(async (box) => {
      const file = box.file('file', 'content');
      for (const dataDir of [file, join(file, 'data')]) {
        const result = await box.apart(['--data-dir', dataDir, 'usage'], { dataDir: false });
        expectFailure(result, 3, /file.* is not a directory; give a directory with --data-dir/);
      }
      expect(readFileSync(file, 'utf8')).toBe('content');
    }));

  test.each([
    ['usage'],
    ['services'],
    ['billing', '--month'],
    ['tenants'],
    ['dlq', 'list'],
    ['quota', 'show'],
    ['quota', 'unset'],
    ['alerts', 'list'],
    ['alerts', 'check'],
    ['alerts', 'remove', '80'],
    ['keys', 'list'],
    ['recover'],
    ['verify', '--repair'],
  ])('one that is not there is not made by %s %s', (...args) =>
    withDataDir(async (box) => {
      const missing =
        /there is no infrasage data in \S+data; infrasage init makes a data directory, and so does/;
      expectFailure(await box.run(args), 3, missing);
      expect(existsSync(box.dataDir)).toBe(false);
      // Nor in a folder of something else.
      mkdirSync(box.dataDir);
      expectFailure(await box.run(args), 3, missing);
      expect(readdirSync(box.dataDir)).toEqual([]);
    }),
  );

  test.each([
    ['init'],
    ['quota', 'set', '100M'],
    ['alerts', 'add', '80'],
    ['keys', 'create', '--tenant', 'acme-corp'],
    ['ingest'],
  ])('one that is not there is made by %s %s', (...args) =>
    withDataDir(async (box) => {
      expect(await box.run(args, { stdin: '' })).toMatchObject({ status: 0 });
      expect(await box.run(['usage'])).toMatchObject({ status: 0, stderr: '' });
    }),
  );

  // Nobody may make a directory there, not even root.
  test.runIf(process.platform === 'linux')('no permission to make it', () =>
    withDataDir(async (box) => {
      const result = await box.run(['--data-dir', '/sys/infrasage', 'init'], { dataDir: false });
      expectFailure(
        result,
        3,
        /no permission to write to the data directory \/sys\/infrasage; give another one/,
      );
    }),
  );

  test.skipIf(isRoot)('no permission to write to it', () =>
    withDataDir(async (box) => {
      mkdirSync(box.dataDir);
      chmodSync(box.dataDir, 0o500);
      expectFailure(await box.run(['init']), 3, /no permission to write to the data directory/);
    }),
  );

  test('in use: says by which process and command; then it is free again', () =>
    withStore(async (box) => {
      const { pid, stdin, done } = box.start(['ingest', '--json']);
      stdin.write(lines(event()));
      await until(() => existsSync(join(box.dataDir, 'infrasage.lock')));
      const inUse = new RegExp(
        `is in use by process ${pid} \\(infrasage ingest\\); wait until it has finished`,
      );
      expectFailure(await box.run(['usage']), 3, inUse);
      expectFailure(await box.run(['ingest'], { stdin: lines(event()) }), 3, inUse);
      stdin.end(lines(event({ service_id: 'b' })));
      expect(await done).toMatchObject({ status: 0, stderr: '' });
      expect(await box.json(['usage', '--since', '2024-01-01'])).toMatchObject({ total_events: 2 });
      expect(readdirSync(box.dataDir).filter((name) => name.includes('lock'))).toEqual([]);
    }));

  test('in use by another program on the same engine', () =>
    withStore(async (box) => {
      const session = new Session(box.dataDir);
      try {
        session.query('SELECT 1');
        const { status, stdout, stderr } = await box.apart(['usage']);
        expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
        expect(stderr).toMatch(/^infrasage: the data directory .* is in use by another program/m);
        expect(stderr).not.toMatch(/^ +at /m);
      } finally {
        session.close();
      }
      expect(await box.run(['usage'])).toMatchObject({ status: 0, stderr: '' });
    }));

  test('left locked by a process that was killed, or is no more, or by a damaged lock: taken over', () =>
    withStore(async (box) => {
      const lock = join(box.dataDir, 'infrasage.lock');
      const { child, done } = box.start(['ingest']);
      await until(() => existsSync(lock));
      child.kill('SIGKILL');
      await done;
      expect(existsSync(lock)).toBe(true);
      expect(await box.run(['tenants'])).toMatchObject({ status: 0, stderr: '' });
      expect(existsSync(lock)).toBe(false);

      const gone = await new Promise<number>((resolve, reject) => {
        const other = spawn(process.execPath, ['-e', '']);
        other.once('error', reject);
        other.once('close', () => resolve(other.pid ?? 0));
      });
      const holder = { host: hostname(), command: 'ingest', started: '1' };
      const contents = [
        JSON.stringify({ ...holder, pid: gone }),
        // A process that is alive and started at another time than the one that took the lock.
        ...(process.platform === 'linux' ? [JSON.stringify({ ...holder, pid: process.pid })] : []),
        '',
        'not a lock',
      ];
      for (const content of contents) {
        writeFileSync(lock, content);
        expect(await box.run(['quota', 'show'])).toMatchObject({ status: 0, stderr: '' });
        expect(existsSync(lock)).toBe(false);
      }
    }));

  test('written by a newer engine, layout or schema: refused in words; by an older engine: fine', () =>
    withDataDir(async (box) => {
      await box.json(['ingest'], { stdin: lines(event()) });
      const path = join(box.dataDir, 'infrasage.json');
      const written: { layout: number; engine: string; schema: Record<string, string> } = JSON.parse(
        readFileSync(path, 'utf8'),
      );
      const change = (changes: object) => writeFileSync(path, JSON.stringify({ ...written, ...changes }));
      const [year = 0] = written.engine.split('.').map(Number);
      const ends = /; update infrasage \(npm install\), or give another --data-dir\n$/;

      change({ layout: written.layout + 1 });
      const layout = await box.run(['usage']);
      expectFailure(layout, 3, /was written by a newer infrasage \(layout \d+, this one knows \d+\)/);
      expect(layout.stderr).toMatch(ends);

      change({ engine: `${year + 1}.1.1.1` });
      const engine = await box.run(['ingest'], { stdin: lines(event({ service_id: 'b' })) });
      expectFailure(engine, 3, /was written by engine \d+\.1\.1\.1, which is newer than this one/);
      expect(engine.stderr).toMatch(ends);

      writeFileSync(path, '{');
      expectFailure(await box.run(['usage']), 3, /infrasage\.json is damaged; restore it/);

      change({ engine: `${year - 1}.1.1.1` });
      expect(await box.json(['usage', '--since', '2024-01-01'])).toMatchObject({ total_events: 1 });
      expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(written);

      // A newer program has begun to change the schema, and ended before it had recorded it.
      change({ schema: {}, program: { infrasage: '99.0.0' } });
      const begun = await box.run(['usage']);
      expectFailure(
        begun,
        3,
        /was changed by infrasage 99\.0\.0, which is newer than this one, \d+\.\d+\.\d+/,
      );
      expect(begun.stderr).toMatch(/; update infrasage\n$/);

      // It has applied a migration, and recorded the schema that it made.
      await withEngine(box.dataDir, (sql) => {
        sql(`INSERT INTO infrasage.infrasage_migrations (version, name, checksum, engine_version)
          VALUES (999, '999_future.sql', 'f00', '99.1')`);
      });
      change({ schema: { infrasage: 'of the future' } });
      const schema = await box.run(['usage']);
      expectFailure(
        schema,
        3,
        /was changed by a newer infrasage \(999_future\.sql; this one knows up to \d+\)/,
      );
      expect(schema.stderr).toMatch(/; update infrasage\n$/);
    }));
});

describe('settings', () => {
  test('the main job, as it is written, with no configuration', () =>
    withDataDir(async (box) => {
      const now = new Date().toISOString();
      const input = lines(event({ timestamp: now }), event({ timestamp: now, event_type: 'log' }));
      box.file('events.ndjson', input);
      const plain = { dataDir: false } as const;
      const results = [
        await box.apart(['ingest'], { ...plain, stdin: { file: join(box.folder, 'events.ndjson') } }),
        await box.apart(['usage', '--since', '24h'], plain),
        await box.apart(['billing', '--month'], plain),
        await box.apart(['alerts', 'add', '80'], plain),
      ];
      for (const { status, stderr } of results) expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      const [ingest, usage, billing, alerts] = results.map(({ stdout }) => stdout);
      expect(ingest).toContain('2 lines = 2 accepted + 0 rejected + 0 skipped');
      expect(usage).toMatch(/^log +1 .*\nmetric +1 /m);
      expect(billing).toContain('Total: 2 events');
      expect(alerts).toContain('Added: an alert at 80 %');
      expect(existsSync(join(box.folder, '.local', 'share', 'infrasage', 'infrasage.json'))).toBe(true);
    }));

  test('flags over environment over defaults, before and after the command', () =>
    withDataDir(async (box) => {
      const named = join(box.folder, 'named');
      const env = { INFRASAGE_DATA_DIR: named, INFRASAGE_DATABASE: 'other', INFRASAGE_TENANT: 'globex' };
      const init = await box.run(['init', '--json'], { dataDir: false, env });
      expect(JSON.parse(init.stdout)).toMatchObject({ data_dir: named, database: 'other' });

      const flags = ['--database', 'third', 'ingest', '--tenant', 'acme-corp', '--json'];
      const ingest = await box.run(flags, { env, stdin: lines(event({ tenant_id: undefined })) });
      expect(ingest).toMatchObject({ status: 0, stderr: '' });
      expect(existsSync(box.dataDir)).toBe(true);
      const tenants = async (...args: string[]) =>
        (await box.json<{ tenants: { tenant_id: string }[] }>(['tenants', ...args])).tenants.map(
          (t) => t.tenant_id,
        );
      expect(await tenants('--database', 'third')).toEqual(['acme-corp']);
      // A report makes no database, as it makes no data directory.
      const missing =
        /there is no infrasage database infrasage in \S+data; infrasage init makes it, and so does/;
      expectFailure(await box.run(['tenants']), 3, missing);
      expect(existsSync(join(box.dataDir, 'spool', 'infrasage'))).toBe(false);

      const data = join(box.folder, 'xdg');
      await box.run(['init'], { dataDir: false, env: { XDG_DATA_HOME: data } });
      expect(existsSync(join(data, 'infrasage', 'infrasage.json'))).toBe(true);
    }));

  test('the demo runs the main job and leaves nothing behind', () =>
    withDataDir(async (box) => {
      const { status, stdout, stderr } = await box.run(['demo'], { dataDir: false });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      for (const command of ['ingest < events.ndjson', 'usage --since 24h', 'billing --month']) {
        expect(stdout).toContain(`\n$ infrasage ${command}\n`);
      }
      expect(readdirSync(box.tmp)).toEqual([]);
      expect(readdirSync(box.folder)).toEqual(['tmp']);
    }));
});

describe('standard output and standard error', () => {
  let box: Sandbox;
  beforeAll(async () => {
    box = sandbox({ initialised: true });
    await box.json(['ingest'], { stdin: lines(event(), event({ tenant_id: 'globex' }), 'x') });
  });
  afterAll(() => box.remove());

  test('a reader that goes away is no error', async () => {
    for (const args of [
      ['usage', '--since', '2024-01-01'],
      ['dlq', 'list', '--json'],
      ['--help'],
      ['nonsense'],
    ]) {
      const { status, stderr } = await box.run(args, { closeStdout: true });
      expect(stderr).not.toMatch(/EPIPE|^ +at /m);
      expect(status).toBe(args[0] === 'nonsense' ? 2 : 0);
    }
    expect(
      await box.run(['ingest'], { closeStdout: true, stdin: lines(event({ service_id: 'b' })) }),
    ).toMatchObject({
      status: 0,
      stderr: '',
    });
    expect(await box.json(['usage', '--since', '2024-01-01'])).toMatchObject({ total_events: 3 });
  });

  test('a stack and the cause are there with --debug, and only then', async () => {
    const args = ['ingest', 'nowhere.ndjson'];
    const debug = await box.apart([...args, '--debug']);
    expect(debug).toMatchObject({ status: 3, stdout: '' });
    expect(debug.stderr).toMatch(/^infrasage: there is no file nowhere\.ndjson.*\n/);
    expect(debug.stderr).toMatch(/^ +at /m);
    expect(debug.stderr).toContain('ENOENT');
    expectFailure(await box.apart(args), 3, /there is no file/);
  });

  test('no escape sequences where it is no terminal, with NO_COLOR or without', async () => {
    const colourful = { NO_COLOR: undefined, TERM: 'xterm-256color', COLORTERM: 'truecolor' };
    for (const env of [{}, colourful]) {
      const options: RunOptions = { env };
      for (const args of [
        ['usage', '--since', '2024-01-01'],
        ['--help'],
        ['nonsense'],
        ['ingest', 'nowhere'],
      ]) {
        const { stdout, stderr } = await box.apart(args, options);
        expect(activeCharacters(stdout + stderr)).toEqual([]);
      }
    }
  });

  test('the ends of the calendar are no surprise', async () => {
    for (const args of [
      ['usage', '--since', '0001-01-01', '--until', '9999-12-31'],
      ['usage', '--since', '1900-01-01', '--by', 'service_id'],
      ['billing', '--month', '9999-12'],
      ['billing', '--month', '1969-12'],
    ]) {
      const { status, stderr } = await box.run(args);
      expect(stderr).not.toMatch(/unexpected error|the engine said/);
      expect([0, 2]).toContain(status);
    }
    expect(await box.json(['usage', '--since', '1900-01-01', '--until', '2200-01-01'])).toMatchObject({
      total_events: 3,
    });
  });
});

describe('hostile text', () => {
  /** Valid ids: no control characters, and everything else. */
  const IDS = [
    '\u202eevil\u2066\u200f',
    'a\u2028b\u2029c',
    '=1+1',
    '+cmd|calc',
    '-2+3',
    '@SUM(A1)',
    'a,b"c;d',
    '| pipe | `tick` *star* _x_ <script>alert(1)</script> [x](https://evil.example) \\',
    '日本'.repeat(60),
    '🔥'.repeat(120),
    `${'x'.repeat(60)}é`,
    '👩‍👩‍👧‍👦🇩🇪☺️',
    ' ',
  ];
  const OSC =
    '\u001b]8;;https://evil.example\u0007click\u001b]8;;\u0007\u001b]52;c;ZXZpbA==\u0007\u001b[31m\u009b1m';
  const RAW = [
    Buffer.concat([
      Buffer.from([...Array(256).keys()].filter((byte) => byte !== 10)),
      Buffer.from(`\u202e\u2066${OSC}`),
    ]),
    Buffer.from(OSC),
    Buffer.from(`{"tenant_id":"t","x":"\u202e\u2066${OSC}"}`),
    Buffer.from(event({ service_id: OSC })),
    Buffer.from(
      event({
        tenant_id: '\u202e',
        service_id: 5,
        event_type: '\u2067\u009b',
        timestamp: '\u001b]0;x\u0007',
      }),
    ),
    Buffer.from('=cmd|calc'),
    Buffer.from('@evil'),
  ];
  let box: Sandbox;
  let ids: string[];

  beforeAll(async () => {
    box = sandbox({ initialised: true });
    const input = Buffer.concat([
      Buffer.from(lines(...IDS.map((id) => event({ tenant_id: id, service_id: id })))),
      ...RAW.flatMap((raw) => [raw, Buffer.from('\n')]),
    ]);
    const path = box.file(`\u001b]0;evil\u0007\u202e.ndjson`, input);
    expect(await box.json(['ingest', path])).toMatchObject({ accepted: IDS.length, rejected: RAW.length });
    const { letters } = await box.json<{ letters: { id: string; line: number }[] }>([
      'dlq',
      'list',
      '--each',
    ]);
    ids = letters.map(({ id }) => id);
    expect(ids).toHaveLength(RAW.length);
  });
  afterAll(() => box.remove());

  const printed = new Map<string, string>();

  /** Prints a report in a format, once; nothing in it may act on a terminal. */
  async function inert(args: readonly string[], format: string): Promise<string> {
    const name = JSON.stringify([args, format]);
    const before = printed.get(name);
    if (before !== undefined) return before;
    const { status, stdout, stderr } = await box.run([...args, '--format', format]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(activeCharacters(stdout)).toEqual([]);
    printed.set(name, stdout);
    return stdout;
  }

  const services = ['services', '--since', '2024-01-01', '--limit', '100'];

  test.each(FORMATS)('in tenant and service ids, and in the names of sources: %s', async (format) => {
    await inert(services, format);
    await inert(['dlq', 'list'], format);
    await inert(['dlq', 'list', '--each'], format);
  });

  test.each(FORMATS)('in a rejected line that is shown: %s', async (format) => {
    for (const id of format === 'table' ? [ids[0], ids[4]] : [ids[0]]) {
      await inert(['dlq', 'show', id ?? ''], format);
    }
  });

  test('JSON has the ids and the lines exactly as they came', async () => {
    const { tenants } = JSON.parse(await inert(['tenants'], 'json')) as { tenants: { tenant_id: string }[] };
    expect(tenants.map(({ tenant_id }) => tenant_id).sort()).toEqual([...IDS].sort());
    const shown = [];
    for (const id of [ids[0], ids[2]]) shown.push(JSON.parse(await inert(['dlq', 'show', id ?? ''], 'json')));
    expect(shown[0]).toMatchObject({ raw: null, raw_base64: RAW[0]?.toString('base64') });
    expect(shown[1]).toMatchObject({ raw: RAW[2]?.toString() });
  });

  test('CSV has no cell that a spreadsheet would run', async () => {
    const cells = [await inert(services, 'csv'), await inert(['dlq', 'list', '--each'], 'csv')].flatMap(
      (csv) => parseCsv(csv).flat(),
    );
    expect(cells.filter((cell) => /^[=+\-@\t\r]/.test(cell))).toEqual([]);
    for (const id of ['=1+1', '+cmd|calc', '-2+3', '@SUM(A1)']) expect(cells).toContain(`'${id}`);
    expect(cells).toContain('a,b"c;d');
  });

  test('Markdown has no markup of theirs', async () => {
    const markdown = await inert(services, 'markdown');
    expect(markdown).toContain('\\| pipe \\| \\`tick\\` \\*star\\* \\_x\\_ \\<script\\>');
    expect(markdown).not.toMatch(/(?<!\\)<|(?<!\\)`/);
    expect(
      new Set(
        markdown
          .trimEnd()
          .split('\n')
          .map((line) => line.match(/(?<!\\)\|/g)?.length),
      ),
    ).toEqual(new Set([5]));
  });

  test('the table is at most 80 columns wide, with numbers under each other, and cuts no character in two', async () => {
    for (const args of [services, ['tenants'], ['dlq', 'list', '--each']]) {
      const table = await inert(args, 'table');
      const rows = table.split('\n').filter((line) => / {2,}\S/.test(line));
      expect(rows.length).toBeGreaterThan(RAW.length);
      expect(Math.max(...rows.map((line) => stringWidth(line)))).toBeLessThanOrEqual(80);
      if (args[0] !== 'dlq') expect(table).not.toContain('\ufffd');
      if (args === services) {
        expect(new Set(rows.slice(1).map((line) => stringWidth(line)))).toEqual(
          new Set([stringWidth(rows[0] ?? '')]),
        );
      }
    }
  });

  test.each([
    ['a file that is not there', ['ingest', OSC]],
    ['the same with --debug', ['--debug', 'ingest', OSC]],
    ['a time', ['usage', '--since', `${OSC}\u202e`]],
    ['an id', ['dlq', 'show', OSC]],
    ['a quota', ['quota', 'set', OSC]],
    ['a command', [OSC]],
    ['an option', ['usage', `--${OSC}`]],
    ['an option’s value', ['usage', '--format', OSC]],
  ])('in an error about %s', async (_, args) => {
    const { status, stdout, stderr } = await box.run(args);
    expect([2, 3]).toContain(status);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^infrasage: /);
    expect(activeCharacters(stderr)).toEqual([]);
  });
});
