import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Session } from 'chdb';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { recordedSchema, recordVersions } from '../src/store/data-dir.ts';
import { migrate, type TableMaker } from '../src/store/migrate.ts';
import { migrations, tables } from '../src/store/schema.ts';
import type { Store } from '../src/store/store.ts';
import { storedServices } from './helpers/accounts.ts';
import { type Sandbox, sandbox, until, withDataDir, withStore } from './helpers/cli.ts';
import { withEngine } from './helpers/engine.ts';
import { event, lines } from './helpers/events.ts';
import { expectFailure } from './helpers/failure.ts';
import { releaseEngine } from './helpers/kept-engine.ts';

const isRoot = process.getuid?.() === 0;

const HOLD = `import { Session } from 'chdb';
const session = new Session(process.argv[1]);
session.query('SELECT 1');
process.stdout.write('open');
process.stdin.on('end', () => session.close()).resume();`;

let box: Sandbox;
const holders: ChildProcess[] = [];
beforeEach(() => {
  box = sandbox();
});
afterEach(async () => {
  for (const holder of holders.splice(0)) holder.kill('SIGKILL');
  await box.remove();
});

/** A program that knows the engine and nothing of infrasage opens a data directory; returns how to end it. */
async function openedByAnother(dataDir: string): Promise<() => Promise<void>> {
  releaseEngine();
  const holder = spawn(process.execPath, ['--input-type=module', '--eval', HOLD, dataDir], {
    cwd: dirname(fileURLToPath(import.meta.url)),
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  holders.push(holder);
  const ended = new Promise<void>((resolve) => holder.once('exit', () => resolve()));
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  return () => {
    holder.stdin.end();
    return ended;
  };
}

/** Every file of a folder with its size and when it was changed. */
function contents(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => [name, statSync(join(folder, name))] as const)
    .filter(([, status]) => status.isFile())
    .map(([name, { size, mtimeMs }]) => `${name} ${size} ${mtimeMs}`)
    .sort();
}

it.skipIf(process.platform !== 'linux')(
  'touches nothing where another program has the data directory, and removes a mark of a full disk where none has',
  async () => {
    await box.run(['ingest', box.file('events.ndjson', lines(event()))]);
    const close = await openedByAnother(box.dataDir);
    const table = readdirSync(join(box.dataDir, 'store'), { recursive: true, encoding: 'utf8' }).find(
      (name) => name.endsWith('format_version.txt'),
    );
    if (!table) throw new Error('no table');
    const mark = join(box.dataDir, 'store', dirname(table), 'mutation_7.txt');
    writeFileSync(mark, '');
    const before = contents(box.dataDir);
    const refused = await box.run(['usage', '--since', '2020-01-01']);
    expect(refused).toMatchObject({ status: 3, stdout: '' });
    expect(refused.stderr).toContain(
      `the data directory ${box.dataDir} is in use by another program; wait until`,
    );
    expect(contents(box.dataDir)).toEqual(before);
    await close();
    expect(await box.json(['usage', '--since', '2020-01-01'])).toMatchObject({ total_events: 1 });
    expect(existsSync(mark)).toBe(false);
  },
);

it('does not take a schema for known of which a change was begun and not finished', async () => {
  const written = (schema?: string) =>
    recordVersions(box.folder, {
      engine: '26.7.2.1',
      package: 'chdb 3.4.0',
      database: 'usage',
      ...(schema ? { schema } : {}),
    });
  written('before');
  const store: Pick<Store & TableMaker, 'database' | 'command'> = {
    database: 'usage',
    command: () => Promise.reject(new Error('killed')),
  };
  await expect(migrate(store as Store & TableMaker, box.folder)).rejects.toThrow('killed');
  written();
  expect(recordedSchema(box.folder, 'usage')).toBeUndefined();
});

it('a new database has the tables that the migrations come to, also where it was begun, by this program or an earlier one', () =>
  withDataDir(async (box) => {
    await box.run(['init']);
    await box.session(async (ask) => {
      const statements = migrations().flatMap(({ statements }) => statements);
      const begun = statements.findIndex((sql) => sql.includes('.infrasage_ingest_batches'));
      const there = {
        migrated: statements,
        begun_earlier: statements.slice(0, begun),
        begun: tables().filter((_, i) => i % 2 === 0),
        of_others: ['CREATE TABLE {{db}}.visitors (name String) ENGINE = Memory'],
      };
      for (const [database, made] of Object.entries(there)) {
        await ask(`CREATE DATABASE ${database}`);
        for (const sql of made) await ask(sql.replaceAll('{{db}}', database));
      }
    });
    const databases = ['begun_earlier', 'begun', 'of_others'];
    for (const database of databases) await box.run(['init', '--database', database]);
    const tablesOf = (database: string) =>
      box.session(async (ask) => {
        const rows = await ask<{ name: string; sql: string }>(
          `SELECT name, replaceAll(create_table_query, '${database}.', '') AS sql FROM system.tables
          WHERE database = '${database}' AND engine != 'MaterializedView' AND name LIKE 'infrasage%' AND name != 'infrasage_migrations' ORDER BY name`,
        );
        return rows.map(({ sql }) => {
          const [, text, settings = ''] = /^(.*?)(?: SETTINGS (.*))?$/s.exec(sql) ?? [];
          return { text, settings: settings.split(', ').sort() };
        });
      });
    const wanted = await tablesOf('migrated');
    expect(wanted.length).toBeGreaterThan(20);
    for (const database of ['infrasage', ...databases]) expect(await tablesOf(database)).toEqual(wanted);
  }));

it('what merges and mutations make of what is stored is on the disk before that is removed', () =>
  withStore(async (box) => {
    await box.session(async (ask) => {
      const synced = async () => {
        const [row] = await ask<{ n: number }>(
          `SELECT sum(value) AS n FROM system.events WHERE event = 'FileSync'`,
        );
        return row?.n ?? 0;
      };
      const table = '{{db}}.infrasage_usage_metering';
      for (const type of ['log', 'metric', 'trace'])
        await ask(
          `INSERT INTO ${table} (tenant_id, event_type, ingested_at) SELECT 'acme', '${type}', now()`,
        );
      for (const change of [
        `OPTIMIZE TABLE ${table} FINAL`,
        `ALTER TABLE ${table} DELETE WHERE event_type = 'log'`,
      ]) {
        const before = await synced();
        await ask(change.startsWith('ALTER') ? `${change} SETTINGS mutations_sync = 2` : change);
        // A mutation's own file is one.
        expect(await synced()).toBeGreaterThan(before + 1);
      }
      const tables = await ask<{ name: string; merges: number }>(
        `SELECT name, engine_full LIKE '%min_compressed_bytes_to_fsync_after_merge = 1%' AS merges FROM system.tables
        WHERE engine_full LIKE '%fsync_after_insert = 1%' AND database = 'infrasage' ORDER BY name`,
      );
      expect(tables.length).toBeGreaterThan(15);
      expect(tables.filter(({ merges }) => !merges)).toEqual([]);
    });
  }));

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

  test('of a schema that had a table where lines landed: it goes, and what is stored stays', () =>
    withDataDir(async (box) => {
      await box.run(['ingest', box.file('one.ndjson', lines(event()))]);
      const names = () =>
        withEngine(box.dataDir, (sql) =>
          sql(
            `SELECT name FROM system.tables WHERE database = 'infrasage' AND match(name, 'landing|parse_view')`,
          ),
        );
      await withEngine(box.dataDir, (sql) => {
        sql('CREATE TABLE infrasage.infrasage_landing (line String) ENGINE = Null');
        sql(`CREATE MATERIALIZED VIEW infrasage.infrasage_parse_view TO infrasage.infrasage_dlq AS
          SELECT line AS raw FROM infrasage.infrasage_landing`);
        sql(
          `ALTER TABLE infrasage.infrasage_migrations DELETE WHERE version = 14 SETTINGS mutations_sync = 2`,
        );
      });
      expect(await names()).toEqual([{ name: 'infrasage_landing' }, { name: 'infrasage_parse_view' }]);
      const path = join(box.dataDir, 'infrasage.json');
      const written = JSON.parse(readFileSync(path, 'utf8'));
      writeFileSync(path, JSON.stringify({ ...written, schema: { infrasage: 'before' } }));
      await box.run([
        'ingest',
        box.file('two.ndjson', lines(event({ service_id: 'b' }), event({ service_id: 'c' }))),
      ]);
      expect(await names()).toEqual([]);
      expect(await box.json(['usage', '--since', '2024-01-01'])).toMatchObject({ total_events: 3 });
      expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(written);
    }));

  test('flags over environment over defaults, before and after the command', () =>
    withDataDir(async (box) => {
      const named = join(box.folder, 'named');
      const env = { INFRASAGE_DATA_DIR: named, INFRASAGE_DATABASE: 'other', INFRASAGE_TENANT: 'globex' };
      const init = await box.run(['init', '--json'], { dataDir: false, env });
      expect(JSON.parse(init.stdout)).toMatchObject({ data_dir: named, database: 'other' });

      const flags = [
        '--data-dir',
        box.dataDir,
        '--database',
        'third',
        'ingest',
        '--tenant',
        'acme-corp',
        '--json',
      ];
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

  test('may have any name but with {}*?, which the engine takes for a pattern', () =>
    withDataDir(async (box) => {
      const options = { stdin: lines(event()), dataDir: false };
      const dataDir = join(box.folder, `it's "a" bc[d] per%41cent #1 ünï 日本 e=f&g`);
      const result = await box.run(['--data-dir', dataDir, 'ingest', '--json'], options);
      expect(result).toMatchObject({ status: 0, stderr: '' });
      const usage = await box.run(
        ['--data-dir', dataDir, 'usage', '--since', '2024-01-01', '--json'],
        options,
      );
      expect(JSON.parse(usage.stdout)).toMatchObject({ total_events: 1 });

      const braces = await box.run(['--data-dir', join(box.folder, 'x{a,b}'), 'ingest'], options);
      expect(braces).toMatchObject({ status: 2, stdout: '' });
      expect(braces.stderr).toMatch(/^infrasage: .*\{.*\n$/);
    }));

  test('that another process has is left as it is by --dry-run', () =>
    withStore(async (box) => {
      await box.json(['ingest'], { stdin: lines(event({ service_id: 'a' })) });
      const { stdin, done } = box.start(['ingest']);
      await until(() => existsSync(join(box.dataDir, 'infrasage.lock')));
      const result = await box.run(['ingest', '--dry-run'], {
        stdin: lines(event({ service_id: 'b' }), 'x'),
      });
      expect(result).toMatchObject({ status: 0, stderr: '' });
      expect(result.stdout).toMatch(/nothing was written/);
      stdin.end();
      expect(await done).toMatchObject({ status: 0 });
      expect(await storedServices(box.sql)).toEqual(['a']);
      expect(await box.json(['dlq', 'list'])).toMatchObject({ total: 0 });
    }));
});
