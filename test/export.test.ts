import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { nameBeside } from '../src/commands/left-behind.ts';
import { connectShared } from '../src/store/socket-client.ts';
import { ON_SERVER, type Sandbox, sandbox, until, withStore } from './helpers/cli.ts';
import { withEngine } from './helpers/engine.ts';
import { event, lines } from './helpers/events.ts';
import { parseCsv } from './helpers/formats.ts';
import { sharing } from './helpers/sharing.ts';
import { CAN_MOUNT, SmallDisk } from './helpers/small-disk.ts';

interface Written {
  what: string;
  rows: number;
  total_events: number | null;
  total_bytes: number | null;
  file_bytes: number;
}
interface Usage {
  breakdown: { hour: string; events: number }[];
  total_events: number;
  total_bytes: number;
}

/** Texts that break a line, a cell, a quote or a formula, each the body of an event. */
const BODIES = [
  '=1+1',
  '+1',
  '-1',
  '@SUM(A1)',
  '\tx',
  '\rx',
  '\n=x',
  '＝1',
  ' =1',
  "'=1",
  'a,"b"\nc\r\nd',
  '\\N',
  '"',
  'ünï/cødé',
  '',
];
const PERIOD = ['--since', '2024-02-28', '--until', '2024-03-01'];
const BAD = Buffer.concat([Buffer.from('{"body":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);

describe('export', () => {
  let box: Sandbox;
  const at = (name: string) => join(box.folder, name);
  const written = (what: string, name: string, ...args: string[]) =>
    box.json<Written>(['export', what, ...PERIOD, '--to', at(name), ...args]);
  /** A file as the engine reads it, in an engine of its own. */
  const read = <Row extends object>(name: string, columns = '*') =>
    withEngine(at('reader'), (sql) =>
      sql<Row>(
        `SELECT ${columns} FROM file('${at(name)}', 'Parquet') SETTINGS output_format_json_quote_64bit_integers = 0`,
      ),
    );

  const inside = [
    ...BODIES.map((body, i) => ({
      tenant_id: i % 3 === 0 ? 'globex' : 'acme-corp',
      event_type: i % 2 === 0 ? 'log' : 'metric',
      timestamp: `2024-02-28T1${i % 4}:15:30.250Z`,
      body,
      value: -1 - i,
      attributes: { '=k': body },
    })),
  ];
  const events = [
    ...inside,
    // Outside of the period, at either end.
    { timestamp: '2024-02-27T23:59:59.999Z', body: 'before' },
    { timestamp: '2024-03-01T00:00:00Z', body: 'after' },
  ];
  beforeAll(async () => {
    box = sandbox({ initialised: true });
    const rejected = ['=no json', 'nor "this"'];
    const input = Buffer.concat([
      Buffer.from(lines(...events.map((fields) => event(fields)), ...rejected)),
      BAD,
      Buffer.from('\n'),
    ]);
    expect(await box.json(['ingest', '-'], { stdin: input })).toMatchObject({
      accepted: events.length,
      rejected: 3,
    });
  });
  afterAll(() => box.remove());

  it('writes metered hours whose sums are those of usage', async () => {
    const usage = await box.json<Usage>(['usage', ...PERIOD, '--by', 'hour']);
    const { rows, total_events, total_bytes, file_bytes } = await written('usage', 'usage.parquet');
    expect({ total_events, total_bytes }).toEqual({
      total_events: usage.total_events,
      total_bytes: usage.total_bytes,
    });
    expect(file_bytes).toBe(readFileSync(at('usage.parquet')).length);
    interface Row {
      tenant_id: string;
      hour: string;
      event_type: string;
      events: number;
      bytes: number;
    }
    const found = await read<Row>('usage.parquet');
    expect(found).toHaveLength(rows);
    // By its own events: a group for each tenant, hour and type.
    const groups = new Set(
      inside.map((one) => `${one.tenant_id} ${one.timestamp.slice(0, 13)} ${one.event_type}`),
    );
    expect(
      found.map((row) => `${row.tenant_id} ${row.hour.slice(0, 13).replace(' ', 'T')} ${row.event_type}`),
    ).toEqual([...groups].sort());
    const sum = (key: 'events' | 'bytes') => found.reduce((all, row) => all + row[key], 0);
    expect([sum('events'), sum('bytes')]).toEqual([usage.total_events, usage.total_bytes]);
    for (const name of ['usage.ndjson', 'usage.csv']) expect((await written('usage', name)).rows).toBe(rows);
    const ndjson = readFileSync(at('usage.ndjson'), 'utf8').trimEnd().split('\n');
    expect(ndjson.map((line) => JSON.parse(line) as Row)).toEqual(
      found.map((row) => ({ ...row, hour: `${row.hour.slice(0, 19).replace(' ', 'T')}Z` })),
    );
    const tenant = await written('usage', 'one.parquet', '--tenant', 'globex');
    expect(tenant.total_events).toBe(Math.ceil(BODIES.length / 3));
    expect(await read('one.parquet', 'DISTINCT tenant_id')).toEqual([{ tenant_id: 'globex' }]);
  });

  it('writes events exactly as they are stored, in Parquet and NDJSON', async () => {
    const usage = await box.json<Usage>(['usage', ...PERIOD]);
    const parquet = await written('firehose', 'events.parquet');
    expect([parquet.rows, parquet.total_events]).toEqual([BODIES.length, usage.total_events]);
    await written('firehose', 'events.jsonl');
    interface Row {
      body: string;
      value: number;
      attributes: Record<string, string>;
      timestamp: string;
    }
    const sorted = (rows: Row[]) =>
      rows
        .map(({ body, value, attributes }) => ({ body, value, attributes }))
        .sort((a, b) => b.value - a.value);
    const expected = BODIES.map((body, i) => ({ body, value: -1 - i, attributes: { '=k': body } }));
    expect(sorted(await read<Row>('events.parquet'))).toEqual(expected);
    const ndjson = readFileSync(at('events.jsonl'), 'utf8').trimEnd().split('\n');
    const rows = ndjson.map((line) => JSON.parse(line) as Row);
    expect(sorted(rows)).toEqual(expected);
    expect(rows.find(({ value }) => value === -4)?.timestamp).toBe('2024-02-28T13:15:30.250Z');
  });

  it('defuses the cells of CSV that a spreadsheet would run, and no others', async () => {
    expect((await written('firehose', 'events.csv')).rows).toBe(BODIES.length);
    const [header = [], ...rows] = parseCsv(readFileSync(at('events.csv'), 'utf8'));
    const column = (name: string) => rows.map((row) => row[header.indexOf(name)] ?? '');
    const values = column('value').map(Number);
    const bodies = column('body');
    const inOrder = BODIES.map((_, i) => bodies[values.indexOf(-1 - i)]);
    expect(inOrder).toEqual(BODIES.map((body, i) => (i < 8 ? `'${body}` : body)));
    expect(column('attributes').every((cell) => cell.startsWith('{"=k":'))).toBe(true);
  });

  it('writes dead letters, with bytes that are no UTF-8 exactly', async () => {
    const all = ['--since', '1h', '--to'];
    const { rows } = await box.json<Written>(['export', 'dlq', ...all, at('letters.parquet')]);
    const list = await box.json<{ letters_in_all?: number; letters: { id: string }[] }>([
      'dlq',
      'list',
      '--each',
      '--state',
      'all',
    ]);
    expect(rows).toBe(list.letters.length);
    interface Letter {
      id: string;
      error: string;
      hex: string;
    }
    const found = await read<Letter>('letters.parquet', 'id, error, hex(raw) AS hex');
    expect(found.map(({ id }) => id).sort()).toEqual(list.letters.map(({ id }) => id).sort());
    expect(found.map(({ hex }) => hex)).toContain(BAD.toString('hex').toUpperCase());
    await box.json(['export', 'dlq', ...all, at('letters.ndjson')]);
    const ndjson = readFileSync(at('letters.ndjson'), 'utf8').trimEnd().split('\n');
    const raws = ndjson.map((line) => JSON.parse(line) as { raw: string | null; raw_base64: string | null });
    expect(raws.filter(({ raw }) => raw === null)).toEqual([
      expect.objectContaining({ raw_base64: BAD.toString('base64') }),
    ]);
    expect(raws.map(({ raw }) => raw)).toEqual(expect.arrayContaining(['=no json', 'nor "this"']));
    const { stdout, stderr } = await box.run([
      'export',
      'dlq',
      '--since',
      '1h',
      '--to',
      '-',
      '--format',
      'csv',
    ]);
    const [header = [], ...cells] = parseCsv(stdout);
    expect(cells.map((row) => row[header.indexOf('raw')]).sort()).toEqual(['', "'=no json", 'nor "this"']);
    expect(stderr).toContain('3 dead letters of all tenants');
  });

  it('replaces nothing without --force, and writes what can be read whole or nothing', async () => {
    const path = box.file('there.csv', 'somebody’s');
    const refused = await box.run(['export', 'usage', ...PERIOD, '--to', path]);
    expect(refused).toMatchObject({ status: 2, stdout: '' });
    expect(refused.stderr).toContain('there.csv is there already');
    expect(readFileSync(path, 'utf8')).toBe('somebody’s');
    await written('usage', 'there.csv', '--force');
    expect(readFileSync(path, 'utf8')).toMatch(/^"tenant_id","hour"/);
    mkdirSync(at(`o'x {a}*?"`));
    const odd = await written('usage', `o'x {a}*?"/'; DROP.ndjson`);
    expect(readFileSync(at(`o'x {a}*?"/'; DROP.ndjson`), 'utf8').split('\n')).toHaveLength(odd.rows + 1);
    const none = await box.json<Written>([
      'export',
      'usage',
      '--since',
      '2020-01-01',
      '--until',
      '2020-01-02',
      '--to',
      at('none.parquet'),
    ]);
    expect(none).toMatchObject({ rows: 0, total_events: 0 });
    expect(await read('none.parquet')).toEqual([]);
    expect(readdirSync(box.folder).filter((name) => name.startsWith('.infrasage'))).toEqual([]);
  });

  it.each([
    [['export', 'usage'], /export needs the file/],
    [['export', 'bills', '--to', 'a.csv'], /there is no bills to export/],
    [['export', 'usage', '--to', 'a.xlsx'], /a.xlsx does not say in which form/],
    [['export', 'usage', '--to', '-'], /on standard output rows are CSV or NDJSON/],
    [['export', 'usage', '--to', '/dev/null/a.csv'], /a\.csv cannot be written/],
  ])('%j is refused', async (args, words) => {
    const { status, stderr } = await box.run(args);
    expect(status).toBeGreaterThanOrEqual(2);
    expect(stderr).toMatch(words);
  });

  it.each([
    [['export', 'firehose', '--to', '-', '--format', 'csv'], /rows as they were sent are not for a terminal/],
    [['dlq', 'export'], /lines as they were sent are not for a terminal/],
  ])('%j prints nothing on a terminal', async (args, words) => {
    const { status, stdout, stderr } = await box.run(args, { columns: 80 });
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(words);
  });

  it('tells where the firehose lacks events that are metered', async () => {
    await box.sql(
      "ALTER TABLE {{db}}.infrasage_raw_firehose DELETE WHERE body = '=1+1' SETTINGS mutations_sync = 2",
    );
    const { status, stderr } = await box.run(['export', 'firehose', ...PERIOD, '--to', at('less.csv')]);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: 'usage counts 15 events of these hours, and the firehose has 14: infrasage verify says why\n',
    });
  });

  it('a result that fails halfway is a failure', async () => {
    const store = await box.openStore();
    const { open } = await import('node:fs/promises');
    const file = await open(at('half.ndjson'), 'wx+');
    try {
      const half = {
        sql: 'SELECT number, throwIf(number = {n:UInt64}) AS t FROM numbers(2000000)',
        params: { n: 1_500_000 },
        format: 'ndjson',
        binary: false,
      } as const;
      await expect(store.writeResult(half, file)).rejects.toThrow(/throwIf|does not answer/);
    } finally {
      await file.close();
      await store.close();
    }
  });
});

describe.skipIf(ON_SERVER)('export beside other processes', () => {
  const given = () => lines(event(), event({ body: 'x"\n' }), '=no json');
  /** Subjects in some form, each with as many rows as the reports say. */
  async function exportsAll(box: Sandbox, endings: readonly string[]) {
    for (const [subject, period, expected] of [
      ['usage', PERIOD, 1],
      ['firehose', PERIOD, 2],
      ['dlq', ['--since', '1h'], 1],
    ] as const) {
      for (const ending of endings) {
        const path = join(box.folder, `it's ${subject}.${ending}`);
        const { rows } = await box.json<Written>(['export', subject, ...period, '--to', path]);
        expect({ path, rows }).toEqual({ path, rows: expected });
        const bytes = readFileSync(path);
        if (ending === 'parquet') expect(bytes.subarray(0, 4).toString()).toBe('PAR1');
        else if (ending === 'csv') expect(parseCsv(bytes.toString())).toHaveLength(rows + 1);
        else expect(bytes.toString().trimEnd().split('\n')).toHaveLength(rows);
      }
    }
  }

  it('goes through `serve`, which has the data directory', () =>
    withStore(async (box) => {
      await box.run(['ingest', '-'], { stdin: given() });
      const served = await sharing(box.dataDir);
      try {
        await exportsAll(box, ['parquet', 'csv', 'ndjson']);
      } finally {
        await served.stop();
      }
      expect(readdirSync(join(box.dataDir, 'spool', 'infrasage'))).toEqual([]);
    }));

  it('goes through `ingest --follow`, with what that has taken so far', () =>
    withStore(async (box) => {
      const following = box.start(['ingest', '--follow', box.file('growing.ndjson', given())]);
      await until(async () => {
        const shared = await connectShared({ dataDir: box.dataDir, database: 'infrasage' });
        const counted = await shared?.query(
          'SELECT sum(event_count) AS n FROM {{db}}.infrasage_usage_metering',
          z.object({ n: z.coerce.number() }),
        );
        await shared?.close();
        return counted?.[0]?.n === 2;
      });
      await exportsAll(box, ['ndjson']);
      following.child.kill('SIGTERM');
      expect((await following.done).status).toBe(0);
    }));

  it.runIf(CAN_MOUNT).each(['ndjson', 'parquet'])('leaves no %s file on a full disk', (ending) =>
    withStore(async (box) => {
      await box.sql(`INSERT INTO {{db}}.infrasage_raw_firehose (tenant_id, timestamp, event_type, service_id, body)
        SELECT 'a', toDateTime64('2024-02-28 10:00:00', 3, 'UTC'), 'log', 's', randomPrintableASCII(500) FROM numbers(20000)`);
      const disk = new SmallDisk(join(box.folder, 'small'), '4m');
      try {
        const to = join(disk.folder, `events.${ending}`);
        const { status, stdout, stderr } = await box.run(['export', 'firehose', ...PERIOD, '--to', to]);
        expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
        expect(stderr).toContain('the disk is full');
        expect(readdirSync(disk.folder)).toEqual([]);
      } finally {
        disk.remove();
      }
    }),
  );

  it.each(['SIGKILL', 'SIGTERM'] as const)('leaves no half file where it is ended by %s', (signal) =>
    withStore(async (box) => {
      await box.sql(`INSERT INTO {{db}}.infrasage_raw_firehose (tenant_id, timestamp, event_type, service_id, body)
        SELECT 'a', toDateTime64('2024-02-28 10:00:00', 3, 'UTC'), 'log', 's', randomPrintableASCII(500) FROM numbers(200000)`);
      const folder = join(box.folder, 'out');
      mkdirSync(folder);
      writeFileSync(join(folder, 'old.ndjson'), 'old');
      const { child, done } = box.start([
        'export',
        'firehose',
        ...PERIOD,
        '--force',
        '--to',
        join(folder, 'old.ndjson'),
      ]);
      await until(() => readdirSync(folder).length > 1);
      child.kill(signal);
      expect((await done).status).toBeNull();
      expect(readFileSync(join(folder, 'old.ndjson'), 'utf8')).toBe('old');
      // What a killed process had begun has a name of its own.
      const left = readdirSync(folder).filter((name) => name !== 'old.ndjson');
      if (signal === 'SIGTERM') expect(left).toEqual([]);
      expect(left.every((name) => name.startsWith('.infrasage-'))).toBe(true);
      if (signal === 'SIGKILL') {
        expect(left).toHaveLength(1);
        // That of another file, and that of a process which still writes, are theirs.
        const others = [nameBeside(join(folder, 'new.csv')), nameBeside(join(folder, 'old.ndjson'))];
        for (const other of others) writeFileSync(other, '');
        const again = ['export', 'usage', ...PERIOD, '--to'];
        await box.json([...again, join(folder, 'new.csv')]);
        expect(readdirSync(folder)).toEqual(expect.arrayContaining(left));
        await box.json([...again, join(folder, 'old.ndjson'), '--force']);
        const there = ['new.csv', 'old.ndjson', ...others.map((other) => basename(other))];
        expect(readdirSync(folder).sort()).toEqual(there.sort());
      }
      expect(existsSync(join(box.folder, 'old.ndjson'))).toBe(false);
    }),
  );
});
