import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliResult, type Sandbox, sandbox } from './helpers/cli.ts';
import { CLUSTER, ClickHouseServer, startCluster } from './helpers/clickhouse-server.ts';
import { monthsOfEvents } from './helpers/crash.ts';
import { event, lines, type Truth } from './helpers/events.ts';

/** One of the engines, with a box whose commands go there. */
interface Engine {
  box: Sandbox;
  env: Record<string, string>;
  /** Arguments with which the database is made. */
  init: string[];
}

const MONTH = new Date(Date.now() - 35 * 86_400_000).toISOString().slice(0, 7);
const YEAR = ['--since', '2020-01-01', '--until', '2100-01-01'];

const PIPED = lines(
  event({ tenant_id: undefined, event_type: undefined, timestamp: '2024-02-28 10:00:00' }),
  '',
  event({ service_id: undefined }),
  'no json',
);

/** Every report there is; those that are about the present end before today, so that all see the same. */
const REPORTS = [
  ...['event_type', 'service_id', 'tenant_id', 'hour', 'day', 'month'].map((by) => [
    'usage',
    ...YEAR,
    '--by',
    by,
  ]),
  ['usage', ...YEAR, '--tenant', 'acme-corp', '--by', 'hour'],
  ['services', ...YEAR, '--limit', '7'],
  ['billing', '--month', MONTH],
  ['billing', '--month', MONTH, '--tenant', 'acme-corp'],
  ['report', '--month', MONTH, '--html', '-'],
  ['dlq', 'list', '--each', '--limit', '1000'],
  ['dlq', 'list'],
  ['quota', 'show'],
  ['alerts', 'list'],
  ['tenants'],
  ['keys', 'list', '--tenant', 'acme-corp'],
  ['verify'],
];

/** What is done with the dead letters at last, and what is there then. */
const LETTERS: string[][] = [
  ['dlq', 'replay', '--dry-run', '--set', 'service_id=replayed'],
  ['dlq', 'replay', '--error', 'missing_service_id', '--set', 'service_id=replayed'],
  ['dlq', 'replay', '--error', 'missing_service_id', '--set', 'service_id=replayed'],
  ['dlq', 'list', '--state', 'replayed'],
  ['verify'],
  ['dlq', 'purge', '--older-than', '2100-01-01', '--error', 'missing_service_id', '--force'],
  ['dlq', 'list', '--state', 'all'],
  ['verify'],
];

/** Three batches of the input. */
const SMALL_BATCHES = ['--batch-bytes', '350000', '--max-line', '20000'];

/** What is done on each engine before it is asked. Files are in the folder of its box. */
const ACTIONS: { args: string[]; stdin?: string }[] = [
  { args: ['ingest', '--dry-run', ...SMALL_BATCHES, 'events.ndjson'] },
  { args: ['ingest', ...SMALL_BATCHES, 'events.ndjson'] },
  { args: ['ingest', ...SMALL_BATCHES, 'events.ndjson'] },
  { args: ['ingest', 'events.ndjson.gz'] },
  { args: ['ingest', '--tenant', 'filled', '--default-type', 'log', '--assume-utc'], stdin: PIPED },
  { args: ['ingest', '--tenant', 'filled', '--default-type', 'log', '--assume-utc'], stdin: PIPED },
  { args: ['quota', 'set', '5000', '--tenant', 'acme-corp'] },
  { args: ['alerts', 'add', '80'] },
  { args: ['alerts', 'add', '10', '--tenant', 'acme-corp'] },
  { args: ['alerts', 'add', '80'] },
  { args: ['keys', 'create', '--tenant', 'acme-corp', '--name', 'a key'] },
];

describe('the same input', () => {
  const engines: Record<string, Engine> = {};
  let servers: ClickHouseServer[] = [];
  let truth: Truth;
  const answers: Record<string, CliResult[]> = {};

  beforeAll(async () => {
    const pair = await startCluster();
    const one = await ClickHouseServer.start();
    servers = [one, ...pair];
    const [first] = pair;
    if (!first) throw new Error('no cluster');
    const nodes = pair.flatMap(({ url }) => ['--node', url]);
    engines.embedded = { box: sandbox(), env: {}, init: [] };
    engines.server = { box: sandbox(), env: { INFRASAGE_CLICKHOUSE_URL: one.url }, init: [] };
    engines.cluster = {
      box: sandbox(),
      env: { INFRASAGE_CLICKHOUSE_URL: first.url },
      init: ['--cluster', CLUSTER, ...nodes],
    };
    const { embedded } = engines;
    const input = monthsOfEvents(embedded.box.folder, 4_000, 7);
    truth = input.truth;
    const events = readFileSync(input.path);
    for (const [name, { box, env, init }] of Object.entries(engines)) {
      const run = async (args: string[], stdin = '') => {
        const result = await box.run([...args, '--json'], { env, stdin });
        if (result.status !== 0) throw new Error(`${name}: infrasage ${args.join(' ')}: ${result.stderr}`);
        return result;
      };
      await run(['init', ...init]);
      box.file('events.ndjson', events);
      box.file('events.ndjson.gz', gzipSync(events.subarray(0, 200_000)));
      const own: CliResult[] = [];
      for (const { args, stdin } of ACTIONS) own.push(await run(args, stdin));
      for (const report of [...REPORTS, ...LETTERS]) own.push(await run(report));
      answers[name] = own;
    }
  }, 300_000);

  afterAll(async () => {
    for (const { box } of Object.values(engines)) await box.remove();
    await Promise.all(servers.map((server) => server.remove()));
  });

  /** What a report printed: what differs by what it is, and by when, is left out. */
  const comparable = (text: string | undefined, box: Sandbox | undefined) =>
    text
      ?.replaceAll(box?.folder ?? '', '')
      .replaceAll(/"((?:\w+_)?received_at|changed_at|created_at|id|key)": "[^"]*"/g, '"$1": ""')
      .replaceAll(/"batches": \[[^\]]*\]/g, '')
      .replaceAll(/"made_at":"[^"]*"/g, '')
      .replaceAll(/"elapsed_ms": \d+/g, '');

  for (const [i, what] of [...ACTIONS.map(({ args }) => args), ...REPORTS, ...LETTERS].entries()) {
    it.each(['server', 'cluster'])(`prints the same bytes of ${i} ${what.join(' ')} on a %s`, (name) => {
      const expected = comparable(answers.embedded?.[i]?.stdout, engines.embedded?.box);
      expect(expected).toMatch(/": ?/);
      expect(comparable(answers[name]?.[i]?.stdout, engines[name]?.box)).toBe(expected);
    });
  }

  it.each(['embedded', 'server', 'cluster'])('is looked at by top as it is stored, on: %s', async (name) => {
    const { box, env } = engines[name] ?? {};
    const tenant = 'looked-at';
    const now = { timestamp: new Date().toISOString(), tenant_id: tenant };
    await box?.run(['ingest', '--no-alerts'], { env: env ?? {}, stdin: lines(...Array(7).fill(event(now))) });
    const found = await box?.json(['top', '--once', '--tenant', tenant], { env: env ?? {} });
    expect(found).toMatchObject({ events: 7, by_service: [{ service_id: 'checkout-api', events: 7 }] });
    expect(found).toMatchObject({ by_type: [{ event_type: 'metric', events: 7 }], dead_letters: [] });
  });

  it('is what the generator counted, on each', () => {
    for (const name of Object.keys(engines)) {
      const usage = JSON.parse(answers[name]?.[ACTIONS.length]?.stdout ?? '') as { total_events: number };
      const again = (JSON.parse(answers[name]?.[3]?.stdout ?? '') as { accepted: number }).accepted;
      expect(usage.total_events).toBe(truth.accepted + again + 1);
    }
  });

  it('is spread over the nodes of a cluster by tenant, and each meters what it has', async () => {
    const [, ...pair] = servers;
    const found = await Promise.all(
      pair.map((node) =>
        node.sql<{ tenant: string; stored: number; metered: number }>(
          `SELECT tenant_id AS tenant, count() AS stored,
            (SELECT sum(event_count) FROM infrasage.infrasage_usage_metering_local) AS metered
          FROM infrasage.infrasage_raw_firehose_local GROUP BY tenant`,
        ),
      ),
    );
    const all = found.flat();
    expect(new Set(all.map(({ tenant }) => tenant)).size).toBe(all.length);
    for (const node of found) {
      expect(node.length).toBeGreaterThan(0);
      expect(node.reduce((sum, { stored }) => sum + stored, 0)).toBe(node[0]?.metered);
    }
  });

  it('of a platform that writes itself is metered on each node, by the documented tables and its own', async () => {
    const [, first, second] = servers;
    const insert = (
      table: string,
    ) => `INSERT INTO infrasage.${table} (tenant_id, timestamp, event_type, service_id, body)
      SELECT 'own-writer', now(), 'log', 'writer', 'hello' FROM numbers(10)`;
    await first?.sql(`${insert('infrasage_raw_firehose')} SETTINGS distributed_foreground_insert = 1`);
    await second?.sql(insert('infrasage_raw_firehose_local'));
    const env = engines.cluster?.env ?? {};
    const usage = await engines.cluster?.box.json<{ total_events: number }>(
      ['usage', '--since', '1h', '--tenant', 'own-writer'],
      { env },
    );
    expect(usage?.total_events).toBe(20);
    expect(await engines.cluster?.box.json(['verify'], { env })).toMatchObject({
      ok: true,
      foreign_rows: 20,
    });
  });

  it('can be removed in part and made whole again on a cluster: verify names it, repair mends it', async () => {
    const { box, env } = engines.cluster ?? { box: sandbox(), env: {} };
    const [, , second] = servers;
    const metering = 'infrasage.infrasage_usage_metering_local';
    const [last] =
      (await second?.sql<{ tenant: string; at: string }>(
        `SELECT tenant_id AS tenant, hour AS at FROM ${metering} WHERE tenant_id != 'own-writer' ORDER BY hour DESC LIMIT 1`,
      )) ?? [];
    await second?.sql(
      `ALTER TABLE ${metering} UPDATE event_count = event_count + 1
      WHERE tenant_id = '${last?.tenant}' AND hour = '${last?.at}' SETTINGS mutations_sync = 2`,
    );
    expect((await box.run(['verify'], { env })).status).toBe(1);
    expect((await box.run(['verify', '--repair'], { env })).status).toBe(0);
    expect(await box.json(['verify'], { env })).toMatchObject({ ok: true });
  });

  it('is made on a cluster again, and asked on any of its nodes, with the same figures', async () => {
    const { box, env, init } = engines.cluster ?? { box: sandbox(), env: {}, init: [] };
    const report = ['usage', ...YEAR, '--by', 'hour', '--json'];
    const before = await box.run(report, { env });
    await box.json(['init', ...init], { env });
    await box.json(['init', '--raw-retention', '3650d'], { env });
    const other = { INFRASAGE_CLICKHOUSE_URL: servers[2]?.url };
    expect((await box.run(report, { env: other })).stdout).toBe(before.stdout);
    const again = ['ingest', ...SMALL_BATCHES, `${box.folder}/events.ndjson`];
    expect(await box.json(again, { env: other })).toMatchObject({ accepted: 0, skipped: truth.lines });
    const more = box.file('more.ndjson', readFileSync(`${box.folder}/events.ndjson`));
    expect(await box.json(['ingest', '--allow-duplicates', more], { env: other })).toMatchObject({
      accepted: truth.accepted,
    });
    expect(await box.json(['verify'], { env: other })).toMatchObject({ ok: true });
  });
});

describe('init --cluster', () => {
  it('refuses what it cannot make, in one line', async () => {
    const server = await ClickHouseServer.start({ clusters: { alone: [{ tcpPort: 1 }, { tcpPort: 2 }] } });
    const box = sandbox();
    try {
      const env = { INFRASAGE_CLICKHOUSE_URL: server.url };
      const refused = async (args: string[], own: Record<string, string> = env) => {
        const { status, stderr, stdout } = await box.run(['init', ...args], { env: own });
        expect(stdout).toBe('');
        expect(stderr.trim().split('\n')).toHaveLength(1);
        return `${status} ${stderr}`;
      };
      expect(await refused(['--cluster', 'nowhere'])).toMatch(/^3 infrasage: .* knows no cluster nowhere;/);
      expect(await refused(['--cluster', 'alone'])).toMatch(/^2 infrasage: .* no ClickHouse Keeper.*--node/);
      expect(await refused(['--cluster', 'alone', '--node', server.url])).toMatch(
        /^2 infrasage: the cluster alone has 2 nodes, and 1 are named/,
      );
      expect(await refused(['--node', server.url])).toMatch(/^2 infrasage: --node goes with --cluster/);
      expect(await refused(['--cluster', "a'b"])).toMatch(/^2 /);
      const secret = randomUUID();
      const named = await refused(['--cluster', 'alone', '--node', `http://x:${secret}@host`]);
      expect(named).toMatch(/^2 infrasage: --node must be/);
      expect(named).not.toContain(secret);
      expect(await refused(['--cluster', 'alone'], {})).toMatch(
        /^2 infrasage: --cluster goes with --clickhouse/,
      );
      expect(await server.sql(`SELECT name FROM system.databases WHERE name = 'infrasage'`)).toEqual([]);
      await box.json(['init'], { env });
      expect(await refused(['--cluster', 'alone', '--node', server.url])).toMatch(
        /^3 .* is on one server already/,
      );
    } finally {
      await box.remove();
      await server.remove();
    }
  });
});
