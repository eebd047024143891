import { afterEach, beforeEach, expect, it } from 'vitest';
import { age as ageEvents, merge } from './helpers/aging.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import type { Ask } from './helpers/engine.ts';
import { event, lines } from './helpers/events.ts';

let box: Sandbox;
beforeEach(() => {
  box = sandbox();
});
afterEach(() => box.remove());

const hour = (i: number) => `2024-02-28T1${i % 4}:00:00Z`;
const some = (service: string, count: number) =>
  lines(
    ...Array.from({ length: count }, (_, i) => event({ service_id: service, timestamp: hour(i) })),
    'no json',
  );

/** Makes everything that is stored as if it had been ingested this many days before. */
async function age(sql: Ask, days: number): Promise<void> {
  await ageEvents(sql, days);
  // Dead letters are partitioned by it.
  await sql(`INSERT INTO {{db}}.infrasage_dlq
    SELECT * REPLACE (received_at - INTERVAL ${days} DAY AS received_at) FROM {{db}}.infrasage_dlq`);
  await sql(`ALTER TABLE {{db}}.infrasage_dlq DELETE WHERE received_at > now() - INTERVAL 1 HOUR
    SETTINGS mutations_sync = 2`);
}

const counts = async (sql: Ask) => {
  const [found] = await sql(`SELECT (SELECT count() FROM {{db}}.infrasage_raw_firehose) AS firehose,
    (SELECT count() FROM {{db}}.infrasage_dlq) AS letters,
    (SELECT sum(event_count) FROM {{db}}.infrasage_usage_metering) AS metered`);
  return found;
};

interface Verified {
  ok: boolean;
  checks: { name: string; rows: number }[];
  differences: { check: string; where: string }[];
  raw_kept_since: string | null;
}
async function verify(...args: string[]): Promise<Verified> {
  return JSON.parse((await box.run(['verify', ...args, '--json'])).stdout) as Verified;
}

it('removes raw rows of their age and keeps what is metered, and verify does not call that a difference', async () => {
  await box.json(['ingest', box.file('old.ndjson', some('old', 40))]);
  await box.session((sql) => age(sql, 100));
  await box.json(['ingest', box.file('new.ndjson', some('new', 8))]);
  const report = ['usage', '--since', '2024-01-01', '--until', '2024-12-31', '--by', 'hour', '--json'];
  const before = await box.run(report);
  expect(await verify()).toMatchObject({ ok: true, raw_kept_since: null });

  expect(await box.json(['init', '--raw-retention', '90d'])).toMatchObject({
    raw_retention_seconds: 7_776_000,
  });
  await box.session(async (sql) => {
    await merge(sql);
    expect(await counts(sql)).toEqual({ firehose: 8, letters: 1, metered: 48 });
  });
  expect((await box.run(report)).stdout).toBe(before.stdout);
  const found = await verify();
  expect(found).toMatchObject({ ok: true, raw_kept_since: expect.stringMatching(/^20/) });
  // The new batch is compared; the hours are not, as each has old events too.
  expect(found.checks.map(({ name, rows }) => [name, rows])).toEqual([
    ['batches', 9],
    ['metering', 0],
    ['strays', expect.any(Number)],
    ['projection', 8],
    ['replays', 0],
  ]);
  expect((await box.run(['verify'])).stdout).toContain('is past its raw retention, and was not compared.');
  expect(await verify('--repair')).toMatchObject({ ok: true, repairs: [] });
  expect(await counts(box.sql)).toMatchObject({ metered: 48 });
});

it('goes on finding what differs among the rows that are kept', async () => {
  await box.json(['init', '--raw-retention', '90d']);
  await box.json(['ingest', box.file('new.ndjson', some('new', 8))]);
  await box.sql(
    `ALTER TABLE {{db}}.infrasage_raw_firehose DELETE WHERE timestamp < '2024-02-28 11:00:00' SETTINGS mutations_sync = 2`,
  );
  const { differences } = await verify();
  expect(differences.map(({ check }) => check)).toContain('batches');
  expect(differences.map(({ where }) => where)).toContain('acme-corp 2024-02-28T10:00:00Z metric');
});

it('remembers a shorter term that there was: what that removed is no difference by a longer one', async () => {
  await box.json(['ingest', box.file('old.ndjson', some('old', 40))]);
  await box.session((sql) => age(sql, 10));
  await box.json(['init', '--raw-retention', '7d']);
  await box.session(merge);
  for (const span of ['90d', 'off']) {
    await box.json(['init', '--raw-retention', span]);
    expect(await verify()).toMatchObject({ ok: true, raw_kept_since: expect.any(String) });
    expect(await verify('--repair')).toMatchObject({ ok: true, repairs: [] });
  }
  expect(await counts(box.sql)).toEqual({ firehose: 0, letters: 0, metered: 40 });
});

it('is refused below a day, and verify refuses to guess at a TTL set by hand', async () => {
  const short = await box.run(['init', '--raw-retention', '1h']);
  expect(short).toMatchObject({ status: 2, stdout: '' });
  expect(short.stderr).toMatch(/^infrasage: --raw-retention 1h is less than a day/);
  await box.json(['init']);
  await box.sql(
    'ALTER TABLE {{db}}.infrasage_raw_firehose MODIFY TTL toDateTime(timestamp) + INTERVAL 90 DAY',
  );
  const { status, stderr } = await box.run(['verify']);
  expect(status).toBe(3);
  expect(stderr).toContain('infrasage_raw_firehose has a TTL of its own');
});
