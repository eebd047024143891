import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { parseCsv } from './helpers/formats.ts';
import { marked, nameless, type Replay } from './helpers/letters.ts';

interface Letter {
  id: string;
  error: string;
  line: number;
  state: string;
}

describe('a list of letters that begin alike', () => {
  const long = { body: 'the same words of all of them, which are long' };
  const wrong = (fields: object) => event({ timestamp: '2024-02-03T10:00:00Z', ...long, ...fields });
  const twice = `${wrong({}).slice(0, -1)},"note":1,"note":"again"}`;
  /** What the column has at the least room, 100 columns; from the wrong part on. */
  const LETTERS: [line: string, shown: string][] = [
    [wrong({ value: '12' }), '…"value":"12"'],
    [wrong({ value: [13] }), '…"value":[13]'],
    // What looks like the field, in a text and in an object before it.
    [wrong({ body: '"trace_id":1', attributes: { trace_id: 2 }, trace_id: 3 }), '…"trace_id":3}'],
    [wrong({ event_type: undefined, type: 'metrics' }), '…"type":"metrics"}'],
    [wrong({ timestamp: '2024-02-30T10:00:00Z' }), '…"timestamp":"2024-02-30'],
    [wrong({ service_id: undefined, timestamp: '2024-02-03T11' }), '…"timestamp":"2024-02-03T11'],
    [twice, '…"note":"again"}'],
    [`${wrong({}).slice(0, -1)},"ratio":NaN}`, '"ratio":NaN}'],
    [`{"timestamp":"2024-02-03T10:00:00Z","event_type":"metric","service_id":"x"}`, '{"timestamp":'],
    ['[1]', '[1]'],
  ];

  it.each([60, 100])('shows of each what is wrong in it, at %i columns', async (columns) => {
    const box = sandbox({ initialised: true });
    try {
      await box.json(['ingest'], { stdin: lines(...LETTERS.map(([line]) => line)) });
      const { stdout } = await box.run(['dlq', 'list', '--each'], { columns });
      expect(stdout).toMatch(/^Dead letters of standard input$/m);
      const [, ...rest] = stdout
        .split(/^Dead letters of .*$/m)
        .join('')
        .split(columns === 60 ? /^Row \d+$/m : /^(?=[\da-f]{12}\.)/m);
      expect(rest).toHaveLength(LETTERS.length);
      for (const [i, [, shown]] of LETTERS.entries()) expect(rest[i]).toContain(shown);
      // Of two sources, each row says which.
      await box.json(['ingest', box.file('other.ndjson', lines(wrong({ value: 'x' })))]);
      const { stdout: both } = await box.run(['dlq', 'list', '--each'], { columns });
      expect(both).not.toContain('Dead letters of');
      expect(both).toContain('Source');
    } finally {
      await box.remove();
    }
  });
});

describe('the workbench', () => {
  let box: Sandbox;
  const LONG = marked('x'.repeat(30_000));
  const CUT = marked('y'.repeat(80_000));
  const BROKEN = Buffer.concat([Buffer.from('{"body":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}\r')]);
  const LOCAL = marked('local', { timestamp: '2024-02-28 10:00:00' });
  const TWICE = `${marked('twice', { service_id: 'one' }).slice(0, -1)},"service_id":"two" , "n":1.50}`;
  const INPUT = Buffer.concat([
    Buffer.from(lines(marked('good'), nameless('a'), nameless('b', { timestamp: '2024-03-01T00:00:00Z' }))),
    Buffer.from(lines(nameless('c', { tenant_id: 'globex' }), 'no json', LONG, CUT, LOCAL, TWICE)),
    BROKEN,
    Buffer.from('\r\n'),
    Buffer.from(lines(nameless('d', { event_type: 'none' }))),
  ]);
  beforeAll(async () => {
    box = sandbox({ initialised: true });
    const path = box.file('events.ndjson', INPUT);
    expect(await box.json(['ingest', '--max-line', '20000', path])).toMatchObject({
      accepted: 1,
      rejected: 10,
    });
  });
  afterAll(() => box.remove());

  const each = async (...args: string[]) =>
    (await box.json<{ letters: Letter[] }>(['dlq', 'list', '--each', ...args])).letters;
  const idOf = async (line: number) =>
    (await each('--state', 'all')).find((one) => one.line === line)?.id ?? '';
  const events = () =>
    box.json<{ total_events: number }>(['usage', '--since', '2024-01-01', '--until', '2024-12-31']);

  it('lists by cause, source and tenant, with counts and an example', async () => {
    const { total, groups } = await box.json<{ total: number; groups: Record<string, unknown>[] }>([
      'dlq',
      'list',
    ]);
    expect(total).toBe(10);
    const source = join(box.folder, 'events.ndjson');
    expect(groups.map(({ error, tenant_id, letters }) => [error, tenant_id, letters])).toEqual([
      ['missing_service_id', 'acme-corp', 3],
      ['invalid_json', null, 2],
      ['line_too_long', null, 2],
      ['duplicate_key', null, 1],
      ['invalid_timestamp', 'acme-corp', 1],
      ['missing_service_id', 'globex', 1],
    ]);
    expect(groups[0]).toMatchObject({
      source,
      example: await idOf(11),
      excerpt: expect.stringMatching(/^…"timestamp":/),
    });
    expect(
      (await box.json<{ groups: unknown[] }>(['dlq', 'list', '--tenant', 'globex'])).groups,
    ).toHaveLength(1);
    expect((await box.run(['dlq', 'list', '--limit', '1'])).stdout).toContain(
      '10 dead letters, 1 of 6 groups',
    );
  });

  it('shows a letter whole in every format, with every rule that it breaks', async () => {
    const id = await idOf(11);
    const shown = await box.json<Record<string, unknown>>(['dlq', 'show', id]);
    const raw = nameless('d', { event_type: 'none' });
    expect(shown).toMatchObject({ id, raw, state: 'open', replayed: null, bytes: raw.length });
    expect(shown.violations).toMatchObject([
      { code: 'missing_service_id', path: 'service_id', found: 'nothing' },
      { code: 'invalid_event_type', path: 'event_type', found: '"none"' },
    ]);
    const print = async (format: string) => (await box.run(['dlq', 'show', id, '--format', format])).stdout;
    const [header = [], ...cells] = parseCsv(await print('csv'));
    const csv = cells.map((row) => ['id', 'raw', 'code'].map((key) => row[header.indexOf(key)]));
    const ndjson = (await print('ndjson'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    for (const rows of [csv, ndjson.map((row) => [row.id, row.raw, row.code])]) {
      expect(rows).toEqual([
        [id, raw, 'missing_service_id'],
        [id, raw, 'invalid_event_type'],
      ]);
    }
    // What was cut is told with its full length, and bytes that are no text as base64.
    expect(await box.json(['dlq', 'show', await idOf(7)])).toMatchObject({
      bytes: CUT.length,
      violations: [{ code: 'line_too_long', found: `${CUT.length} bytes`, expected: 'at most 20000 bytes' }],
    });
    expect(await box.json(['dlq', 'show', await idOf(10)])).toMatchObject({
      raw: null,
      raw_base64: BROKEN.toString('base64'),
    });
  });

  it('exports the exact bytes, which can be ingested, and leaves out what was cut', async () => {
    const { stdout, stderr } = await box.run(['dlq', 'export', '--error', 'missing_service_id']);
    expect(stdout.split('\n').filter(Boolean).sort()).toEqual(
      [
        nameless('a'),
        nameless('b', { timestamp: '2024-03-01T00:00:00Z' }),
        nameless('c', { tenant_id: 'globex' }),
        nameless('d', { event_type: 'none' }),
      ].sort(),
    );
    expect(stderr).toContain('4 dead letters exported');
    const path = join(box.folder, 'all.ndjson');
    const all = await box.run(['dlq', 'export', '--to', path]);
    expect(all.stderr).toContain('1 more left out');
    expect(all.stdout).toBe('');
    expect(readFileSync(path).includes(Buffer.concat([BROKEN, Buffer.from('\n')]))).toBe(true);
    expect(readFileSync(path).includes(LONG)).toBe(true);
    const refused = await box.run(['dlq', 'export', '--to', path]);
    expect(refused).toMatchObject({ status: 2 });
    expect(refused.stderr).toContain('all.ndjson is there already; --force replaces it');
    const written = readFileSync(path);
    expect(await box.run(['dlq', 'export', '--to', path, '--force'])).toMatchObject({ status: 0 });
    expect(readFileSync(path).equals(written)).toBe(true);
    const again = ['ingest', '--dry-run', '--max-line', '20000', path];
    expect(await box.json(again)).toMatchObject({ accepted: 0, rejected: 9 });
  });

  it('says what a replay would change in the bill, and changes nothing', async () => {
    const fix = ['dlq', 'replay', '--error', 'missing_service_id', '--set', 'service_id=fixed'];
    const sent = (body: string, fields = {}) =>
      marked(body, { ...fields, service_id: undefined }).length + ',"service_id":"fixed"'.length;
    expect(await box.json<Replay>([...fix, '--dry-run'])).toEqual({
      dry_run: true,
      selected: 4,
      passing: 3,
      staying: { invalid_event_type: 1 },
      bytes_received:
        sent('a') + sent('b', { timestamp: '2024-03-01T00:00:00Z' }) + sent('c', { tenant_id: 'globex' }),
      bill: [
        {
          tenant_id: 'acme-corp',
          month: '2024-02',
          event_type: 'metric',
          events: 1,
          bytes_received: sent('a'),
        },
        {
          tenant_id: 'acme-corp',
          month: '2024-03',
          event_type: 'metric',
          events: 1,
          bytes_received: sent('b', { timestamp: '2024-03-01T00:00:00Z' }),
        },
        {
          tenant_id: 'globex',
          month: '2024-02',
          event_type: 'metric',
          events: 1,
          bytes_received: sent('c', { tenant_id: 'globex' }),
        },
      ],
    });
    expect((await events()).total_events).toBe(1);
    expect(await each()).toHaveLength(10);
  });

  it('counts each letter once, with what was set, and says so before and after', async () => {
    const fix = ['dlq', 'replay', '--error', 'missing_service_id', '--set', 'service_id=fixed'];
    const exact = '{"n":9007199254740993,"d":0.1000000000000000055}';
    const first = await box.run([...fix, '--set', `attributes=${exact}`, '--json']);
    expect(first.stderr).toContain('3 dead letters of 4 will count, and change the bill:');
    expect(first.stderr).toContain('acme-corp 2024-03 metric: +1 event');
    const done = JSON.parse(first.stdout) as Replay;
    expect(done).toMatchObject({
      selected: 4,
      replayed: 3,
      rejected_again: 0,
      staying: { invalid_event_type: 1 },
    });
    expect(done.bill).toHaveLength(3);
    expect(done.bill[2]).toMatchObject({
      tenant_id: 'globex',
      month: '2024-02',
      events: 1,
      bytes: expect.any(Number),
    });
    expect((await events()).total_events).toBe(4);
    // Once more, with the same and with other fields.
    for (const set of ['service_id=fixed', 'service_id=other']) {
      expect(await box.json([...fix.slice(0, -1), set])).toMatchObject({ selected: 1, replayed: 0 });
    }
    expect((await events()).total_events).toBe(4);
    expect(await each()).toHaveLength(7);
    expect((await each('--state', 'replayed')).map(({ line }) => line).sort()).toEqual([2, 3, 4]);
    const stored = [
      'sql',
      `SELECT attributes FROM infrasage_raw_firehose WHERE service_id = 'fixed' LIMIT 1`,
    ];
    expect((await box.run([...stored, '--json'])).stdout).toContain('9007199254740993');
    expect((await box.run(['dlq', 'show', await idOf(3)])).stdout).toContain(`attributes=${exact}`);
    const shown = await box.json<{ replayed: object }>(['dlq', 'show', await idOf(3)]);
    expect(shown).toMatchObject({
      state: 'replayed',
      replayed: {
        changes: { service_id: 'fixed' },
        event: {
          tenant_id: 'acme-corp',
          event_type: 'metric',
          service_id: 'fixed',
          timestamp: '2024-03-01T00:00:00Z',
        },
      },
    });
    expect((await box.json<{ ok: boolean }>(['verify'])).ok).toBe(true);
  });

  it('replays what other options let through, as it was sent, and never what was cut or is no text', async () => {
    const received = async () => {
      const { stdout } = await box.run([
        'dlq',
        'list',
        '--state',
        'replayed',
        '--each',
        '--format',
        'ndjson',
      ]);
      return stdout.trim().split('\n').length;
    };
    const before = await received();
    expect(await box.json(['dlq', 'replay', '--assume-utc'])).toMatchObject({
      selected: 7,
      replayed: 1,
      bytes_received: LOCAL.length,
      staying: { line_too_long: 1, cut: 1, invalid_json: 2, duplicate_key: 1, missing_service_id: 1 },
    });
    expect(await box.json(['dlq', 'replay', '--max-line', '40000'])).toMatchObject({
      replayed: 1,
      bytes_received: LONG.length,
    });
    // A field that is there twice is there once when it was set; the rest is as it was sent.
    const mended = TWICE.replace('"service_id":"one"', '"service_id":"x"').replace(',"service_id":"two"', '');
    expect(
      await box.json(['dlq', 'replay', '--error', 'duplicate_key', '--set', 'service_id=x']),
    ).toMatchObject({
      replayed: 1,
      bytes_received: mended.length,
    });
    expect(await received()).toBe(before + 3);
    const left = ['dlq', 'replay', '--max-line', '16777216', '--set', 'service_id=y', '--set', 'tenant_id=z'];
    expect(await box.json(left)).toMatchObject({
      selected: 4,
      replayed: 0,
      staying: { cut: 1, invalid_json: 2, invalid_event_type: 1 },
    });
    expect((await box.run(left)).stdout).toContain('1 not all of the line was kept');
    expect((await box.json<{ ok: boolean }>(['verify'])).ok).toBe(true);
  });

  it.each([
    [['--set', 'value'], /--set value is not field=value/],
    [['--set', 'value=many'], /--set value=many: value must be a number/],
    [['--set', 'attributes=[1]'], /attributes must be a JSON object/],
    [['--set', 'attributes=1'], /attributes must be a JSON object/],
    [['--set', 'attributes={"a":1,"a":2}'], /attributes must be a JSON object/],
    [['--set', 'attributes={"a":99999999999999999999}'], /attributes must be a JSON object/],
    [['--default-type', 'none'], /--default-type must be one of metric/],
    [['--error', 'none'], /--error none is not an error code/],
    [['--max-line', '1e9'], /--max-line must be at most/],
    [['--since', '2024-02-02', '--until', '2024-02-01'], /is not before --until/],
  ])('refuses replay %s', async (args, words) => {
    const { status, stdout, stderr } = await box.run(['dlq', 'replay', ...args]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(words);
  });

  it('purges what is old enough, where it is told to, and verify knows what went', async () => {
    const purge = ['dlq', 'purge', '--older-than', '2100-01-01'];
    const refused = await box.run(purge);
    expect(refused).toMatchObject({ status: 2, stdout: '' });
    expect(refused.stderr).toMatch(
      /Remove 10 dead letters, 4 of them not replayed,.*: nobody can be asked here; say --force/,
    );
    expect(await box.json([...purge, '--dry-run', '--error', 'missing_service_id'])).toMatchObject({
      dry_run: true,
      letters: 4,
      replayed: 3,
    });
    expect(await box.run(['dlq', 'purge', '--older-than', '1m', '--force'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('30d for a month'),
    });
    expect(await box.json(['dlq', 'purge', '--older-than', '1h', '--force'])).toMatchObject({ letters: 0 });
    expect(
      await box.json([...purge, '--error', 'missing_service_id', '--tenant', 'globex', '--force']),
    ).toMatchObject({
      dry_run: false,
      letters: 1,
      replayed: 1,
      causes: [{ error: 'missing_service_id', letters: 1, replayed: 1 }],
    });
    expect((await box.json<{ ok: boolean }>(['verify'])).ok).toBe(true);
    expect(await box.json([...purge, '--force'])).toMatchObject({ letters: 9, replayed: 5 });
    expect(await box.json([...purge, '--force'])).toMatchObject({ letters: 0 });
    expect((await box.json<{ ok: boolean }>(['verify'])).ok).toBe(true);
    const kept = await box.sql(
      `SELECT error, sum(letters) AS n FROM {{db}}.infrasage_dlq_purges FINAL WHERE revision = 2 GROUP BY error ORDER BY n DESC, error LIMIT 2`,
    );
    expect(kept).toEqual([
      { error: 'missing_service_id', n: 4 },
      { error: 'invalid_json', n: 2 },
    ]);
    expect((await box.run(['dlq', 'list'])).stdout).toBe('No open dead letters.\n');
    expect((await events()).total_events).toBe(7);
  });

  it('replays the letters of these ids alone, each once, and refuses an id of none', async () => {
    const input = lines(nameless('one'), nameless('two'), nameless('three'));
    await box.run(['ingest'], { stdin: input });
    const named = await each('--source', '-');
    const [one, two, three] = named.map(({ id }) => id);
    const fix = ['--set', 'service_id=by-id'];
    const before = (await events()).total_events;
    const none = await box.run(['dlq', 'replay', String(one), '3fa9c1d20b7e.1-17', 'no-id', ...fix]);
    expect(none).toMatchObject({ status: 2, stdout: '' });
    expect(none.stderr).toContain('there is no dead letter 3fa9c1d20b7e.1-17, no-id');
    const replay = (...args: string[]) => box.json<Replay>(['dlq', 'replay', ...args, ...fix]);
    expect(await replay(`${one}`, `${two}`, '--dry-run')).toMatchObject({ selected: 2, passing: 2 });
    expect(await replay(`${one}`, `${two}`, '--tenant', 'globex')).toMatchObject({ selected: 0 });
    expect((await events()).total_events).toBe(before);
    expect(await replay(`${two}`)).toMatchObject({ selected: 1, replayed: 1 });
    // That of before is not sent again, nor one that is named twice.
    expect(await replay(`${one}`, `${one}`, `${two}`)).toMatchObject({ selected: 1, replayed: 1 });
    expect((await events()).total_events).toBe(before + 2);
    expect((await each('--source', '-')).map(({ id }) => id)).toEqual([three]);
    const shown = await box.json<{ replayed: object }>(['dlq', 'show', `${one}`]);
    expect(shown.replayed).toMatchObject({
      changes: { service_id: 'by-id' },
      event: { service_id: 'by-id' },
    });
    const again = await box.run(['dlq', 'replay', `${one}`, ...fix]);
    expect(again.stdout).toBe(
      'No open dead letters to replay.\n1 letter named here replayed before: not sent again.\n',
    );
  });
});

it('says which of the letters are for closed months, before it sends them', async () => {
  const box = sandbox({ initialised: true });
  try {
    const february = { timestamp: '2024-02-10T10:00:00Z' };
    await box.json(['ingest'], { stdin: lines(event(february), event({ ...february, event_type: 'none' })) });
    await box.json(['billing', 'close', '2024-02', '--override', 'known']);
    await box.json(['ingest', '--no-alerts'], { stdin: lines(event({ timestamp: 'never' })) });
    const words = '1 event for closed months (2024-02): an adjustment on the bill of 2024-03, infrasage';
    const closed = ['dlq', 'replay', '--error', 'invalid_event_type', '--set', 'event_type=log'];
    expect(await box.json([...closed, '--dry-run'])).toMatchObject({ closed_months: { '2024-02': 1 } });
    expect((await box.run([...closed, '--dry-run'])).stdout).toContain(words);
    const sent = await box.run([...closed, '--json']);
    expect(JSON.parse(sent.stdout)).toMatchObject({ replayed: 1, closed_months: { '2024-02': 1 } });
    expect(sent.stderr).toContain(words);

    const open = await box.run(['dlq', 'replay', '--set', 'timestamp=2024-03-10T10:00:00Z']);
    expect(open.stdout).toContain('1 replayed');
    expect(open.stdout + open.stderr).not.toContain('closed months');
  } finally {
    await box.remove();
  }
});
