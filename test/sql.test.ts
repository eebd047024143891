import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEmbedded } from '../src/store/embedded.ts';
import { openServer } from '../src/store/server/open-server.ts';
import type { Store } from '../src/store/store.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { CLUSTER, type ClickHouseServer, startCluster } from './helpers/clickhouse-server.ts';
import { event, lines } from './helpers/events.ts';
import { parseCsv } from './helpers/formats.ts';

const EVENTS = lines(
  event({ tenant_id: 'acme', service_id: 'a' }),
  event({ tenant_id: 'acme', service_id: 'b' }),
  event({ tenant_id: 'beta', service_id: 'a' }),
);

interface Answer {
  columns: { name: string; type: string }[];
  rows: Record<string, unknown>[];
  more: boolean;
}

/** What is more than reading the tables of the database; each is refused by the engine itself. */
const REFUSED = (folder: string) => [
  "INSERT INTO infrasage_dlq (error) VALUES ('x')",
  'INSERT INTO infrasage_usage_metering SELECT * FROM infrasage_usage_metering',
  `INSERT INTO FUNCTION file('${folder}/stolen', 'CSV', 'a String') SELECT 'x'`,
  'ALTER TABLE infrasage_raw_firehose DELETE WHERE 1',
  'DROP TABLE infrasage_usage_metering',
  'TRUNCATE TABLE infrasage_usage_metering',
  'RENAME TABLE infrasage_dlq TO gone',
  'OPTIMIZE TABLE infrasage_usage_metering FINAL',
  'CREATE TABLE t (a Int8) ENGINE = Memory',
  'CREATE TEMPORARY TABLE t (a Int8)',
  'CREATE DATABASE other',
  'SYSTEM STOP MERGES',
  'SYSTEM FLUSH LOGS',
  "KILL QUERY WHERE query_id != ''",
  'SET readonly = 0',
  'SELECT 1 SETTINGS readonly = 0',
  'SET limit = 0',
  "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
  `SELECT * FROM file('${folder}/secret.txt', 'LineAsString')`,
  `SELECT file('${folder}/secret.txt')`,
  `SELECT * APPLY(file) FROM (SELECT '${folder}/secret.txt')`,
  `SELECT arrayMap(x -> file(x), ['${folder}/secret.txt'])`,
  `SELECT arrayMap(file, ['${folder}/secret.txt'])`,
  `SELECT file('${folder}/secret.txt') AS \`x, function_name: length\``,
  `SELECT file('${folder}/secret.txt') AS \`x\\ny\``,
  `WITH file('${folder}/secret.txt') AS f SELECT f`,
  `SELECT * FROM view(SELECT (SELECT file('${folder}/secret.txt')))`,
  `EXPLAIN SELECT file('${folder}/secret.txt')`,
  `DESCRIBE (SELECT file('${folder}/secret.txt'))`,
  `SHOW TABLES WHERE name = file('${folder}/secret.txt')`,
  "SELECT * FROM remote('127.0.0.1', system.one)",
  "SELECT * FROM executable('cat', 'CSV', 'a String')",
  `SELECT 1 INTO OUTFILE '${folder}/stolen'`,
  `SELECT 1 INTO OUTFILE '${folder}/stolen' APPEND`,
  `SHOW TABLES INTO OUTFILE '${folder}/stolen'`,
  `SELECT 1 FORMAT CSV`,
  `SELECT 1) INTO OUTFILE '${folder}/stolen' -- `,
  `BACKUP TABLE infrasage_dlq TO File('${folder}/stolen')`,
  'GRANT ALL ON *.* TO default',
  'SELECT 1; DROP TABLE infrasage_usage_metering',
];

/** The same on every kind of store; `env` says where it is. */
function asksReadOnly(
  of: () => { box: Sandbox; env: Record<string, string>; open: () => Promise<Store> },
): void {
  const json = (...args: string[]) => of().box.json<Answer>(['sql', ...args], { env: of().env });
  const run = (...args: string[]) => of().box.run(['sql', ...args], { env: of().env });

  it('reads tables of the database with and without its name', async () => {
    for (const table of ['infrasage_usage_metering', 'infrasage.infrasage_usage_metering']) {
      const { rows, columns } = await json(
        `SELECT tenant_id, sum(event_count) AS events FROM ${table} GROUP BY tenant_id ORDER BY tenant_id;`,
      );
      expect(rows).toEqual([
        { tenant_id: 'acme', events: 2 },
        { tenant_id: 'beta', events: 1 },
      ]);
      expect(columns.map(({ name }) => name)).toEqual(['tenant_id', 'events']);
    }
  });

  it('shows tables and what they are made of, and explains', async () => {
    expect((await json('SHOW TABLES')).rows.map((row) => row.name)).toContain('infrasage_raw_firehose');
    expect((await json('DESCRIBE infrasage_dlq')).rows.map((row) => row.name)).toContain('raw');
    expect((await json('EXPLAIN SELECT 1')).rows.length).toBeGreaterThan(0);
  });

  it('gives integers exactly, whatever their length, and text for what JSON has no number for', async () => {
    const { stdout } = await run(
      `SELECT 18446744073709551615 AS a, toInt64(-9223372036854775808) AS b, [toUInt64(9007199254740993)] AS c,
        toDecimal64('1.10', 2) AS d, toFloat64('nan') AS e, CAST(NULL AS Nullable(Int8)) AS f, true AS g, toUInt256('115792089237316195423570985008687907853269984665640564039457584007913129639935') AS h`,
      '--json',
    );
    expect(stdout).toContain('"a": 18446744073709551615');
    expect(stdout).toContain('"b": -9223372036854775808');
    expect(stdout).toContain('9007199254740993');
    expect(stdout).toContain('"d": "1.1');
    expect(stdout).toContain('"e": "nan"');
    expect(stdout).toContain('"f": null');
    expect(stdout).toContain('"g": true');
    expect(stdout).toContain(
      '115792089237316195423570985008687907853269984665640564039457584007913129639935',
    );
  });

  it('has a column for each that is selected, whatever their names', async () => {
    const { columns, rows } = await json('SELECT a, a, `a_2`, a FROM (SELECT 1 AS a, 2 AS `a_2`)');
    expect(columns.map(({ name }) => name)).toEqual(['a', 'a_2', 'a_2_2', 'a_3']);
    expect(rows).toEqual([{ a: 1, a_2: 1, a_2_2: 2, a_3: 1 }]);
  });

  it('of a map with a key that comes again has the value that the engine finds under it', async () => {
    const found = await json(
      "SELECT map('k', 'first', 'other', 'x', 'k', 'second') AS attributes, attributes['k'] AS found",
    );
    expect(found.rows).toEqual([{ attributes: { k: 'first', other: 'x' }, found: 'first' }]);
  });

  it('binds what it is given', async () => {
    const hostile = "acme' OR 1 --\\";
    const sql = 'SELECT {t:String} AS t, {n:UInt64} + 1 AS n, {l:Array(String)} AS l';
    expect(
      (await json(sql, '--param', `t=${hostile}`, '--param', 'n=41', '--param', "l=['a','b']")).rows,
    ).toEqual([{ t: hostile, n: 42, l: ['a', 'b'] }]);
    expect(await run(sql)).toMatchObject({ status: 2 });
  });

  it('prints no more rows than asked for, and says so', async () => {
    const query = ['SELECT number FROM numbers(10)', '--limit', '3'];
    expect(await json(...query)).toMatchObject({
      rows: [{ number: 0 }, { number: 1 }, { number: 2 }],
      more: true,
    });
    expect((await run(...query, '--format', 'csv')).stderr).toContain(
      '3 rows; there are more, raise --limit',
    );
    expect((await run(...query)).stdout).toContain('3 rows; there are more, raise --limit');
    // What is counted is counted whole.
    const grouped =
      'SELECT uniq(service_id) AS n, count() AS c FROM infrasage_raw_firehose GROUP BY tenant_id ORDER BY c DESC';
    expect(await json(grouped, '--limit', '1')).toMatchObject({ rows: [{ n: 2, c: 2 }], more: true });
    expect(await json('SELECT count() AS c FROM infrasage_raw_firehose', '--limit', '1')).toMatchObject({
      rows: [{ c: 3 }],
      more: false,
    });
  });

  it('prints one field a line where a table would be wider than the terminal, and cuts nothing', async () => {
    const { stdout } = await run('DESCRIBE infrasage_raw_firehose');
    const { rows } = await json('DESCRIBE infrasage_raw_firehose');
    expect(stdout).toMatch(/^Row 1\nname +\w+\ntype +\S/);
    // Columns without anything are named once.
    expect(stdout).not.toMatch(/^ttl_expression *$/m);
    expect(stdout).toMatch(/^Empty in every row: .*\bttl_expression\b/m);
    for (const { name, type } of rows) expect(stdout).toContain(`${name}\ntype                ${type}\n`);
    expect(stdout).toMatch(/\n\nRow 2\n/);
    expect(stdout).not.toContain('…');
    expect((await run("SELECT 1 AS n, 'short' AS words")).stdout).toMatch(/^n +words\n1 +short\n/);
    // A single column is wrapped: there is nothing that it could be mistaken for.
    expect((await run("SELECT repeat('word ', 30) AS words")).stdout.split('\n').length).toBeGreaterThan(4);
  });

  it('refuses in words what is wrong', async () => {
    const wrong = await run('SELEC 1');
    expect(wrong).toMatchObject({ status: 2, stdout: '' });
    expect(wrong.stderr).toMatch(/^infrasage: the engine said: Syntax error/);
    expect((await run('SELECT nothing_such FROM infrasage_dlq')).stderr).toMatch(/nothing_such/);
    expect(await run('SELECT 1', '--param', 'x')).toMatchObject({ status: 2 });
    const unset = await run('SELECT {code:String}');
    expect(unset).toMatchObject({ status: 2, stdout: '' });
    expect(unset.stderr).toContain('--param code=…');
    expect((await run()).stderr).toContain('there is no statement');
  });

  it('changes nothing, and reaches no file and no other server', async () => {
    const { box } = of();
    box.file('secret.txt', 'a secret');
    const before = await json('SELECT count() AS n, sum(event_count) AS e FROM infrasage_usage_metering');
    const store = await of().open();
    try {
      for (const sql of REFUSED(box.folder)) {
        const refusal = await store.ask({ sql, params: {}, maxRows: 10 }).catch((error: unknown) => error);
        expect({ sql, refusal }).toMatchObject({ sql, refusal: { exitStatus: 2 } });
        expect(String(refusal)).not.toContain('a secret');
      }
    } finally {
      await store.close();
    }
    expect(await run('DROP TABLE infrasage_usage_metering')).toMatchObject({ status: 2, stdout: '' });
    expect(existsSync(join(box.folder, 'stolen'))).toBe(false);
    expect(readFileSync(join(box.folder, 'secret.txt'), 'utf8')).toBe('a secret');
    expect(await json('SELECT count() AS n, sum(event_count) AS e FROM infrasage_usage_metering')).toEqual(
      before,
    );
    expect(await of().box.json(['verify'], { env: of().env })).toMatchObject({ ok: true });
  });
}

describe('sql on the embedded engine', () => {
  let box: Sandbox;
  beforeAll(async () => {
    box = sandbox({ initialised: true });
    await box.json(['ingest'], { stdin: EVENTS });
  });
  afterAll(() => box.remove());
  asksReadOnly(() => ({
    box,
    env: {},
    open: () => openEmbedded({ dataDir: box.dataDir, database: 'infrasage', command: 'test' }),
  }));

  it('ends after ten minutes, whoever still waits for it', async () => {
    const { stdout } = await box.run(['sql', `SELECT getSetting('max_execution_time') AS seconds`, '--json']);
    expect(stdout).toMatch(/"seconds": "?600"?/);
  });

  it('prints every format, and reads the statement from standard input', async () => {
    const sql =
      "SELECT tenant_id, count() AS n, groupArray(service_id) AS s FROM infrasage_raw_firehose WHERE tenant_id = 'beta' GROUP BY tenant_id";
    expect((await box.run(['sql', sql])).stdout).toMatch(/^tenant_id +n +s\nbeta +1 +\["a"\]\n\n1 row\.\n$/);
    expect(parseCsv((await box.run(['sql', sql, '--format', 'csv'])).stdout)).toEqual([
      ['tenant_id', 'n', 's'],
      ['beta', '1', '["a"]'],
    ]);
    expect((await box.run(['sql', sql, '--format', 'ndjson'])).stdout).toContain('"tenant_id":"beta"');
    expect((await box.run(['sql', sql, '--format', 'markdown'])).stdout).toContain('| beta');
    expect((await box.run(['sql', '--format', 'csv'], { stdin: 'SELECT 1 AS one' })).stdout).toBe('one\n1\n');
    // More rows than are laid out together.
    const long = await box.run(['sql', 'SELECT number FROM numbers(5001)', '--limit', '6000']);
    const numbers = Array.from({ length: 5001 }, (_, i) => String(i).padStart(6));
    expect(long.stdout.split('\n')).toEqual(['number', ...numbers, '', '5,001 rows.', '']);
  });
});

describe('sql on a cluster of ClickHouse servers', () => {
  let box: Sandbox;
  let pair: ClickHouseServer[];
  beforeAll(async () => {
    pair = await startCluster();
    box = sandbox();
    const nodes = pair.flatMap(({ url }) => ['--node', url]);
    const env = { INFRASAGE_CLICKHOUSE_URL: pair[0]?.url };
    await box.json(['init', '--cluster', CLUSTER, ...nodes], { env });
    await box.json(['ingest'], { stdin: EVENTS, env });
  });
  afterAll(async () => {
    await box.remove();
    await Promise.all(pair.map((server) => server.remove()));
  });
  asksReadOnly(() => {
    const url = pair[0]?.url ?? '';
    const address = { url: new URL(url), user: 'default', password: '', caFile: undefined, retryForMs: 0 };
    return {
      box,
      env: { INFRASAGE_CLICKHOUSE_URL: url },
      open: () => openServer({ address, database: 'infrasage', dataDir: box.dataDir, onWait: () => {} }),
    };
  });
});
