import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';

let box: Sandbox;
beforeEach(async () => {
  box = sandbox({ initialised: true });
  const good = Array.from({ length: 40 }, (_, i) =>
    event({ service_id: `service-${i}`, timestamp: `2024-02-28T1${i % 4}:00:00Z` }),
  );
  await box.json(['ingest', box.file('events.ndjson', lines(...good, 'no json', '[1]'))]);
});
afterEach(() => box.remove());

interface Verified {
  ok: boolean;
  checks: { name: string; rows: number; groups: number; differences: number }[];
  differences: { check: string; where: string; what: string; expected: number; found: number }[];
  foreign_rows: number;
  repairs: unknown[];
}

async function verify(...args: string[]): Promise<Verified & { status: number | null }> {
  const { status, stdout } = await box.run(['verify', ...args, '--json']);
  return { status, ...(JSON.parse(stdout) as Verified) };
}

/** Changes stored rows behind the program's back. */
async function damage(statement: string): Promise<void> {
  await box.sql(statement);
}

it('says what it compared and how much, and ends with 0 where all agrees', async () => {
  const found = await verify();
  expect(found).toMatchObject({ status: 0, ok: true, differences: [], foreign_rows: 0 });
  expect(
    found.checks.map(({ name, rows, groups, differences }) => [name, rows, groups, differences]),
  ).toEqual([
    ['batches', 42, 1, 0],
    ['metering', 40, 4, 0],
    ['strays', 46, 3, 0],
    ['projection', 40, 1, 0],
    ['replays', 0, 0, 0],
  ]);
  const table = await box.run(['verify']);
  expect(table.stdout).toContain('Everything agrees.');
});

it('names a metering row changed by hand by tenant, hour and type, and repair mends and records it', async () => {
  await damage(
    `ALTER TABLE {{db}}.infrasage_usage_metering UPDATE event_count = event_count + 7
    WHERE hour = '2024-02-28 11:00:00' SETTINGS mutations_sync = 2`,
  );
  const found = await verify();
  expect(found.status).toBe(1);
  expect(found.differences).toEqual([
    {
      check: 'metering',
      where: 'acme-corp 2024-02-28T11:00:00Z metric',
      what: 'events',
      expected: 10,
      found: 17,
    },
  ]);
  const table = await box.run(['verify']);
  expect(table.stdout).toContain('verify --repair');

  const planned = await box.run(['verify', '--repair', '--dry-run', '--json']);
  expect(planned.status).toBe(1);
  const repairs = [
    {
      tenant_id: 'acme-corp',
      hour: '2024-02-28T11:00:00Z',
      event_type: 'metric',
      events_before: 17,
      events_after: 10,
    },
  ];
  expect(JSON.parse(planned.stdout)).toMatchObject({ dry_run: true, repairs });
  expect((await verify()).status).toBe(1);

  expect(await verify('--repair')).toMatchObject({ status: 0, ok: true, repairs });
  expect(
    await box.sql('SELECT tenant_id, events_before, events_after FROM {{db}}.infrasage_repairs'),
  ).toEqual([{ tenant_id: 'acme-corp', events_before: 17, events_after: 10 }]);
  expect(await verify()).toMatchObject({ status: 0, ok: true });
});

it('names a firehose row deleted by hand by its batch and by tenant, hour and type', async () => {
  await damage(
    `ALTER TABLE {{db}}.infrasage_raw_firehose DELETE WHERE service_id = 'service-2' SETTINGS mutations_sync = 2`,
  );
  const { status, differences } = await verify();
  expect(status).toBe(1);
  expect(differences).toContainEqual(
    expect.objectContaining({
      check: 'batches',
      where: expect.stringMatching(/^batch [0-9a-f]{12}\.1 of .*events\.ndjson$/),
      what: 'events in the firehose',
      expected: 40,
      found: 39,
    }),
  );
  expect(differences).toContainEqual(
    expect.objectContaining({
      check: 'metering',
      where: 'acme-corp 2024-02-28T12:00:00Z metric',
      what: 'events',
      expected: 9,
      found: 10,
    }),
  );
});

it('names a dead letter deleted by hand by its batch', async () => {
  await damage(
    `ALTER TABLE {{db}}.infrasage_dlq DELETE WHERE error = 'not_an_object' SETTINGS mutations_sync = 2`,
  );
  const { status, differences } = await verify();
  expect(status).toBe(1);
  expect(differences).toEqual([
    expect.objectContaining({ check: 'batches', what: 'dead letters', expected: 2, found: 1 }),
  ]);
});

it('names rows that an aborted batch has left behind, and of a batch that the ledger does not know', async () => {
  const aborted = `${'a'.repeat(64)}#1`;
  await damage(
    `INSERT INTO {{db}}.infrasage_ingest_batches (batch_id, key, attempt, revision, state) VALUES ('${aborted}', '${'a'.repeat(64)}', 1, 2, 'aborted')`,
  );
  for (const batch of [aborted, 'nobody knows']) {
    await damage(
      `INSERT INTO {{db}}.infrasage_raw_firehose (tenant_id, timestamp, event_type, service_id, batch_id)
      VALUES ('globex', '2024-02-28 10:00:00', 'log', 'left-behind', '${batch}')`,
    );
  }
  const { status, differences } = await verify();
  expect(status).toBe(1);
  expect(differences.map(({ check, where, what }) => [check, where, what])).toEqual([
    ['strays', 'aborted batch aaaaaaaaaaaa.1', 'rows in the firehose'],
    ['strays', 'aborted batch aaaaaaaaaaaa.1', 'rows in the metering'],
    ['strays', 'unknown batch nobody knows', 'rows in the firehose'],
    ['strays', 'unknown batch nobody knows', 'rows in the metering'],
  ]);
});

it('counts rows that others have written to the firehose, which are metered, and does not call them wrong', async () => {
  await damage(
    `INSERT INTO {{db}}.infrasage_raw_firehose (tenant_id, timestamp, event_type, service_id, body)
    SELECT 'globex', '2024-02-28 10:00:00', 'log', 'own-writer', 'hello' FROM numbers(5)`,
  );
  expect(await verify()).toMatchObject({ status: 0, ok: true, foreign_rows: 5 });
  const usage = await box.json<{ total_events: number; total_bytes: number }>([
    'usage',
    '--since',
    '2024-01-01',
    '--tenant',
    'globex',
  ]);
  expect(usage.total_events).toBe(5);
  expect(usage.total_bytes).toBeGreaterThan(0);
});

it('proves the figures of all tenants: one named on the command line is wrong usage, one of the environment is not', async () => {
  const refused = await box.run(['verify', '--tenant', 'acme-corp']);
  expect(refused).toMatchObject({ status: 2, stdout: '' });
  expect(refused.stderr).toMatch(
    /^infrasage: verify takes no --tenant; it proves the figures of all tenants/,
  );
  expect((await box.run(['verify'], { env: { INFRASAGE_TENANT: 'acme-corp' } })).status).toBe(0);
});
