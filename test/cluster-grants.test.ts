import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { CLUSTER, type ClickHouseServer, startCluster } from './helpers/clickhouse-server.ts';
import { event, lines } from './helpers/events.ts';

const PASSWORD = 'p';
const NODES = ['--node', 'http://a:8123', '--node', 'http://b:8123'];

let pair: ClickHouseServer[];
let box: Sandbox;
beforeAll(async () => {
  box = sandbox();
  const grants = async (...args: string[]) => {
    const { status, stdout } = await box.run(['init', '--print-grants', ...args], { dataDir: false });
    expect(status).toBe(0);
    return stdout
      .trimEnd()
      .split(';\n')
      .map((statement) => statement.replace(/ TO `infrasage`;?$/, ''));
  };
  const all = await grants('--cluster', CLUSTER, ...NODES);
  expect(all.at(-1)).toBe('GRANT REMOTE ON *.*');
  pair = await startCluster({
    users: {
      granted: { password: PASSWORD, grants: all },
      local: { password: PASSWORD, grants: all.slice(0, -1) },
      poor: { password: PASSWORD, grants: await grants() },
    },
  });
});
afterAll(async () => {
  await box.remove();
  await Promise.all(pair.map((server) => server.remove()));
});

const as = (user: string) => ({
  env: { INFRASAGE_CLICKHOUSE_URL: pair[0]?.urlOf(user, PASSWORD), INFRASAGE_RETRY_FOR: '0' },
});
const init = () => ['init', '--cluster', CLUSTER, ...pair.flatMap(({ url }) => ['--node', url])];

it('a user with the grants for one server is told what is missing, and nothing is made', async () => {
  const { status, stdout, stderr } = await box.run(init(), as('poor'));
  expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
  for (const missing of [
    'GRANT SELECT ON system.clusters TO `poor`',
    'GRANT TABLE ENGINE ON Distributed TO `poor`',
    'infrasage init --print-grants prints all, for a cluster with --cluster',
  ])
    expect(stderr).toContain(missing);
  for (const server of pair)
    expect(await server.sql(`SELECT 1 FROM system.databases WHERE name = 'infrasage'`)).toEqual([]);
});

it('with what --print-grants --cluster prints, every command works, and exports have what the reports say', async () => {
  const now = new Date().toISOString();
  const tenants = Array.from({ length: 20 }, (_, i) => event({ tenant_id: `t${i}`, timestamp: now }));
  box.file('plan.yaml', 'name: standard\ncurrency: EUR\nbase_fee: 1\n');
  const run = async (...args: string[]) => {
    const { status, stdout, stderr } = await box.run([...args, '--json'], {
      ...as('granted'),
      stdin: lines(...tenants, 'no json'),
    });
    expect({ args, status, stderr }).toMatchObject({
      args,
      status: 0,
      stderr: expect.not.stringContaining('infrasage:'),
    });
    return JSON.parse(stdout) as { rows: number; total_events: number };
  };
  await run(...init());
  expect(await run('ingest')).toMatchObject({ accepted: 20, rejected: 1 });
  for (const args of [
    ['init', '--raw-retention', '90d'],
    ['verify', '--repair'],
    ['plans', 'apply', 'plan.yaml'],
    ['plans', 'assign', 'standard'],
    ['costs', '--by', 'attributes.team'],
    ['billing', 'close', '2020-01'],
    ['quota', 'set', '100'],
    ['alerts', 'check'],
    ['recover'],
    ['doctor', '--offline'],
    ['capacity'],
  ])
    await run(...args);
  const usage = await run('usage', '--since', '1d');
  expect(usage.total_events).toBe(20);
  const exported = (what: string, ending: string) =>
    run('export', what, '--since', '1d', '--to', `${box.folder}/${what}.${ending}`);
  expect(await exported('usage', 'parquet')).toMatchObject({ rows: 20, total_events: 20 });
  expect(await exported('firehose', 'csv')).toMatchObject({ rows: 20, total_events: 20 });
  expect(await exported('dlq', 'ndjson')).toMatchObject({ rows: 1 });
});

it('without the grant for the disks of all nodes, capacity names it, and all else works', async () => {
  const { status, stdout, stderr } = await box.run(['capacity'], as('local'));
  expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
  expect(stderr).toMatch(
    /^infrasage: sizes cannot be read: the user lacks (READ ON )?REMOTE.*infrasage init --print-grants --cluster pair/,
  );
  expect((await box.run(['ingest'], { ...as('local'), stdin: lines(event()) })).status).toBe(0);
  expect((await box.run(['verify'], as('local'))).status).toBe(0);
});
