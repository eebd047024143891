import { randomUUID } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { openServer } from '../src/store/server/open-server.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { addressOf, ClickHouseServer } from './helpers/clickhouse-server.ts';
import { event, lines } from './helpers/events.ts';
import { TcpProxy } from './helpers/tcp-proxy.ts';

let server: ClickHouseServer;
let proxy: TcpProxy;
let box: Sandbox;
let database: string;
let struckBefore: number;
/** Through the proxy. */
let env: Record<string, string>;
beforeAll(async () => {
  server = await ClickHouseServer.start();
  proxy = await TcpProxy.start({ to: server.httpPort });
});
afterAll(async () => {
  await proxy.stop();
  await server.remove();
});
beforeEach(() => {
  box = sandbox();
  struckBefore = proxy.struck;
  database = `db_${randomUUID().replaceAll('-', '')}`;
  env = { INFRASAGE_CLICKHOUSE_URL: proxy.url, INFRASAGE_DATABASE: database };
});
afterEach(async () => {
  proxy.disarm();
  await box.remove();
});

/** Events that differ from those of another name. */
function events(name: string, count: number): string {
  return lines(...Array.from({ length: count }, (_, i) => event({ tenant_id: name, value: i })));
}

interface Summary {
  lines: number;
  accepted: number;
  skipped: number;
}

function summary({
  stdout,
  stderr,
  status,
}: {
  stdout: string;
  stderr: string;
  status: number | null;
}): Summary {
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Summary;
}

async function expectExact(count: number): Promise<void> {
  const rows = await server.sql(
    `SELECT (SELECT count() FROM ${database}.infrasage_raw_firehose) AS firehose,
      (SELECT sum(event_count) FROM ${database}.infrasage_usage_metering) AS metered`,
  );
  expect(rows).toEqual([{ firehose: count, metered: count }]);
  const verified = await box.run(['verify'], { env });
  expect(verified.status, verified.stdout).toBe(0);
}

/** Batches that the server is writing. */
const inserts = () => server.sql(`SELECT query_id FROM system.processes WHERE query_id LIKE '%#%'`);

const stored = async (tenant: string) => {
  const sql = `SELECT count() AS n FROM ${database}.infrasage_raw_firehose WHERE tenant_id = '${tenant}'`;
  const [row] = await server.sql<{ n: number }>(sql);
  return row?.n ?? 0;
};

test('two processes that ingest different files at once, from the first on, are exact', async () => {
  const files = ['one', 'two'].map((name) => box.file(`${name}.ndjson`, events(name, 3_000)));
  const found = await Promise.all(
    files.map((file) =>
      box.apart(['ingest', '--json', '--batch-bytes', '100000', '--max-line', '1000', file], { env }),
    ),
  );
  expect(found.map((result) => summary(result).accepted)).toEqual([3_000, 3_000]);
  await expectExact(6_000);
});

test('two that ingest the same file at once count it once', async () => {
  const file = box.file('same.ndjson', events('same', 3_000));
  const found = await Promise.all(
    [1, 2].map(() =>
      box.apart(['ingest', '--json', '--batch-bytes', '100000', '--max-line', '1000', file], { env }),
    ),
  );
  const [a, b] = found.map(summary) as [Summary, Summary];
  expect(a.accepted + b.accepted).toBe(3_000);
  expect(a.skipped + b.skipped).toBe(3_000);
  await expectExact(3_000);
});

test('a process that is suspended in the middle of a batch writes nothing of it once another has settled it', async () => {
  const file = box.file('suspended.ndjson', events('suspended', 2_000));
  await box.run(['init'], { env });
  // The batch is on its way, and the server has not begun it, when the process is stopped.
  proxy.arm({ at: 'request', on: /query_id=[0-9a-f]{64}%231/, how: 60_000 });
  const suspended = box.start(['ingest', '--retry-for', '5s', file], { env });
  suspended.stdin.end();
  while (proxy.struck === struckBefore) await setTimeout(10);
  suspended.child.kill('SIGSTOP');
  proxy.disarm();
  // As if its term were over: nobody waits for that in a test.
  await server.sql(
    `INSERT INTO ${database}.infrasage_sessions (session, owner, until, version)
      SELECT session, owner, now64(3) - 1, max(version) + 1000 FROM ${database}.infrasage_sessions GROUP BY session, owner`,
  );
  // From another data directory, as on another machine.
  const other = ['--data-dir', join(box.folder, 'elsewhere')];
  const recovered = await box.run([...other, 'recover', '--json'], { env, dataDir: false });
  expect(JSON.parse(recovered.stdout)).toMatchObject({ aborted: 1, lines: { aborted: 2_000 } });
  const taken = await box.run([...other, 'ingest', '--json', file], { env, dataDir: false });
  expect(summary(taken)).toMatchObject({ accepted: 2_000 });
  proxy.cut();
  suspended.child.kill('SIGCONT');
  const { status, stderr } = await suspended.done;
  expect(status).toBe(3);
  expect(stderr).toMatch(/another has settled what it had begun; .*run the same command again/);
  await expectExact(2_000);
});

test('nothing is inserted for a process any more from which another has taken over', async () => {
  await box.run(['init'], { env });
  const store = await openServer({
    address: addressOf(server.url),
    ...{ database, dataDir: box.dataDir, onWait: () => {} },
  });
  try {
    const lock = await store.lock('rows');
    const meter = {
      table: 'infrasage_usage_metering',
      columns: ['tenant_id', 'hour', 'event_type', 'event_count', 'bytes_ingested', 'bytes_received'],
      select: `SELECT {tenant:String}, toDateTime('2024-02-28 10:00:00', 'UTC'), 'log', 1, 1, 1`,
    };
    await store.insertSelected(meter, { tenant: 'before' });
    await server.sql(
      `INSERT INTO ${database}.infrasage_fences (id) SELECT session FROM ${database}.infrasage_sessions`,
    );
    await expect(store.insertSelected(meter, { tenant: 'after' })).rejects.toThrow('another has settled');
    const repair = { repaired_at: '2024-02-28 10:00:00', tenant_id: 'after', event_type: 'log' };
    await expect(store.insert('infrasage_repairs', repair)).rejects.toThrow('another has settled');
    const metered = `SELECT tenant_id FROM ${database}.infrasage_usage_metering`;
    expect(await server.sql(metered)).toEqual([{ tenant_id: 'before' }]);
    expect(await server.sql(`SELECT * FROM ${database}.infrasage_repairs`)).toEqual([]);
    await lock.release();
  } finally {
    await store.close();
  }
});

test('a batch that the server has half of, from a process that was killed, is never half counted', async () => {
  const file = box.file('slow.ndjson', events('slow', 2_000));
  await box.run(['init'], { env });
  proxy.arm({ at: 'request', on: /query_id=[0-9a-f]{64}%231/, bytes: 200_000 });
  const killed = box.start(['ingest', file], { env });
  killed.stdin.end();
  while (proxy.struck === struckBefore) await setTimeout(1);
  killed.child.kill('SIGKILL');
  await killed.done;
  summary(await box.run(['ingest', '--json', file], { env }));
  expect(await inserts()).toEqual([]);
  await expectExact(2_000);
});

/** A batch from a pipe that is pending: its process was killed, and the server has all of it. */
async function leavePending(tenant: string, count: number, options: readonly string[] = []): Promise<void> {
  const { struck } = proxy;
  proxy.arm({ at: 'sent', on: /query_id=[0-9a-f]{64}%231/, how: 'stall' });
  const killed = box.start(['ingest', ...options], { env });
  killed.stdin.end(events(tenant, count));
  while (proxy.struck === struck) await setTimeout(10);
  killed.child.kill('SIGKILL');
  await killed.done;
  while ((await stored(tenant)) < count || (await inserts()).length > 0) await setTimeout(10);
}

test('lines of a pipe are ingested again where their spool file is, and nowhere else', async () => {
  await box.run(['init'], { env });
  await leavePending('pipe', 1_000);
  // Some of it goes, so that there is something to redo.
  await server.sql(`TRUNCATE TABLE ${database}.infrasage_usage_metering`);
  const other = ['--data-dir', join(box.folder, 'elsewhere')];
  const left = await box.run([...other, 'recover', '--json'], { env, dataDir: false });
  expect(JSON.parse(left.stdout)).toMatchObject({ aborted: 0, redone: 0 });
  expect((JSON.parse(left.stdout) as { elsewhere: string[] }).elsewhere[0]).toContain(box.dataDir);
  expect((await box.run(['recover'], { env })).stdout).toContain(
    '1 ingested again from the spool (1,000 lines)',
  );
  await expectExact(1_000);

  // Another may have ingested the same lines before: then they are not ingested again from the spool.
  await leavePending('twice', 1_000, ['--max-line', '1000']);
  await server.sql(
    `ALTER TABLE ${database}.infrasage_usage_metering DELETE WHERE tenant_id = 'twice' SETTINGS mutations_sync = 2`,
  );
  const same = { env, dataDir: false, stdin: events('twice', 1_000) };
  const taken = await box.run(
    [...other, 'ingest', '--json', '--batch-bytes', '20000', '--max-line', '1000'],
    same,
  );
  expect(summary(taken)).toMatchObject({ accepted: 1_000 });
  expect((await box.run(['recover'], { env })).stdout).toContain('1 removed (1,000 lines');
  await expectExact(2_000);

  // And where the folder is lost, it is given up when that is asked for.
  await leavePending('lost', 10);
  await server.sql(
    `ALTER TABLE ${database}.infrasage_raw_firehose DELETE WHERE tenant_id = 'lost' SETTINGS mutations_sync = 2`,
  );
  for (const folder of readdirSync(join(box.dataDir, 'servers'))) {
    rmSync(join(box.dataDir, 'servers', folder), { recursive: true });
  }
  const abandoned = await box.run([...other, 'recover', '--abandon', '--json'], { env, dataDir: false });
  expect(JSON.parse(abandoned.stdout)).toMatchObject({ aborted: 1, elsewhere: [] });
  await expectExact(2_000);
});

test.each([
  ['cut before the server has it', { at: 'request', bytes: 30_000 }],
  ['cut when the server has all of it', { at: 'sent' }],
  ['cut when the server has done it', { at: 'done' }],
  ['closed by halves when the server has done it', { at: 'done', how: 'half-close' }],
] as const)('a connection that is %s: the run goes on by itself', async (_, fault) => {
  await box.run(['init'], { env });
  const file = box.file('cut.ndjson', events('cut', 3_000));
  for (let i = 0; i < 3; i++) proxy.arm({ ...fault, on: /query_id=[0-9a-f]{64}%23/ });
  const args = ['ingest', '--json', '--batch-bytes', '100000', '--max-line', '1000', file];
  expect(summary(await box.run(args, { env }))).toMatchObject({ lines: 3_000, accepted: 3_000 });
  expect(proxy.struck - struckBefore).toBe(3);
  await expectExact(3_000);
});
