import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import stringWidth from 'string-width';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ON_SERVER, type RunOptions, type Sandbox, sandbox, withDataDir } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { expectFailure } from './helpers/failure.ts';
import { activeCharacters, parseCsv } from './helpers/formats.ts';

const FORMATS = ['table', 'json', 'ndjson', 'csv', 'markdown'];

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
      const data = join(box.folder, '.local', 'share', 'infrasage');
      expect(existsSync(join(data, 'infrasage.json'))).toBe(!ON_SERVER);
    }));

  test('the demo runs the main job and leaves nothing behind', () =>
    withDataDir(async (box) => {
      const { status, stdout, stderr } = await box.run(['demo'], { dataDir: false });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      for (const command of ['ingest < events.ndjson', 'usage --since 24h', 'billing --month']) {
        expect(stdout).toContain(`\n$ infrasage ${command}\n`);
      }
      expect(stdout).not.toMatch(/infrasage-demo-|--database/);
      expect(readdirSync(box.tmp)).toEqual([]);
      expect(readdirSync(box.folder)).toEqual(['tmp']);
    }));

  test.each([
    ['by its name', 'infrasage', {}],
    ['by npx', 'npx infrasage', { npm_command: 'exec' }],
  ])('what the demo and the next commands print can be typed, called %s', async (_, program, env) => {
    const box = sandbox();
    try {
      const { stdout } = await box.run(['demo'], { env });
      const shown = stdout.split('\n').filter((line) => /\binfrasage\b/.test(line));
      const typed = [' demo --events > events.ndjson', ' ingest < events.ndjson'].map(
        (words) => program + words,
      );
      expect(shown.map((line) => line.replace(/^(\$| ) /, '').trim())).toEqual([
        ...['ingest < events.ndjson', 'usage --since 24h', 'billing --month'].map(
          (line) => `${program} ${line}`,
        ),
        ...['services --since 7d --limit 10', 'dlq list --limit 5'].map((line) => `${program} ${line}`),
        ...typed,
      ]);
      const events = (await box.run(['demo', '--events'], { env })).stdout;
      const ingested = await box.run(['ingest'], { stdin: events, env });
      expect(ingested.stdout).toMatch(new RegExp(`^see the rejected lines: ${program} dlq list$`, 'm'));
      const listed = await box.run(['dlq', 'list'], { env });
      const next = [...listed.stdout.matchAll(/: (?:npx )?infrasage (dlq .*)$/gm)].map(
        ([said, words = '']) => {
          expect(said).toContain(`: ${program} dlq `);
          return words.split(' ');
        },
      );
      expect(next).toHaveLength(2);
      for (const words of next)
        expect(await box.run(words, { env })).toMatchObject({ status: 0, stderr: '' });
      const refused = await box.run(['billing'], { env });
      expect(refused.stderr).toMatch(new RegExp(`; ${program} billing --month, or`, 'm'));
    } finally {
      await box.remove();
    }
  });
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
  async function inert(args: readonly string[], format: string, columns?: number): Promise<string> {
    const name = JSON.stringify([args, format, columns]);
    const before = printed.get(name);
    if (before !== undefined) return before;
    const { status, stdout, stderr } = await box.run(
      [...args, '--no-color', '--format', format],
      columns ? { columns } : {},
    );
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
      const table = await inert(args, 'table', 80);
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

  test('where there is no terminal, the table cuts nothing', async () => {
    for (const args of [services, ['tenants']]) expect(await inert(args, 'table')).not.toContain('…');
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
