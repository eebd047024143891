import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { replay } from '../src/dead-letters/replay.ts';
import { ingest as ingestSources } from '../src/ingest/ingest.ts';
import { fileSource } from '../src/ingest/source.ts';
import { parseMonth, parsePeriod } from '../src/period.ts';
import { billing, billingJson } from '../src/reports/billing.ts';
import { usageSeries } from '../src/reports/series.ts';
import { usage, usageJson } from '../src/reports/usage.ts';
import type { Store } from '../src/store/store.ts';
import { age, backdate } from './helpers/aging.ts';
import { ON_SERVER, type Sandbox, sandbox } from './helpers/cli.ts';
import { seeded } from './helpers/crash.ts';
import type { Ask } from './helpers/engine.ts';
import { event, lines } from './helpers/events.ts';
import { ingestOptions } from './helpers/ingest-options.ts';

let box: Sandbox;

const OPTIONS = ingestOptions({ maxLine: 10_000, batchBytes: 1_000_000 });
const LETTERS = { tenantId: null, error: null, source: null, since: null, until: null };
const DAY_MS = 24 * 3_600_000;
const TENANTS = ['acme-corp', 'globex'];
const SERVICES = ['checkout-api', 'search-api'];
const TYPES = ['metric', 'log'];
const NOW = new Date();
const daysAgo = (days: number) => new Date(NOW.getTime() - days * DAY_MS);
const time = (at: Date) => at.toISOString().replace('.000Z', 'Z');
const period = parsePeriod('2024-01-30', '2024-03-05', NOW);
const month = parseMonth('2024-02', NOW);

/** What reports say as of a time; without one, now. */
async function reports(store: Store, asOf?: Date): Promise<unknown[]> {
  const of = { tenantId: null, period, asOf };
  return [
    usageJson(await usage(store, { ...of, groupBy: 'hour' })),
    usageJson(await usage(store, { ...of, groupBy: 'service_id' })),
    usageJson(await usage(store, { ...of, groupBy: 'attributes.team' })),
    await usageSeries(store, { ...of, step: 'day' }),
    billingJson(await billing(store, { ...of, tenantId: 'globex', month, now: NOW })),
  ];
}

const withoutAsOf = (found: readonly unknown[]) =>
  found.map((one) => (Array.isArray(one) ? one : { ...(one as object), as_of: undefined }));

/** Makes all that is stored as if it had come 30 days before, so that its hours are rolled up. */
async function rollUp(sql: Ask): Promise<void> {
  await age(sql, 30);
  await sql('OPTIMIZE TABLE {{db}}.infrasage_usage_metering FINAL');
  // The merge goes by the times that the rows had when they were written.
  await sql('ALTER TABLE {{db}}.infrasage_usage_metering MATERIALIZE TTL SETTINGS mutations_sync = 2');
}

const ingest = async (name: string, at: Date, ...all: string[]) => {
  await box.json(['ingest', '--quiet', box.file(name, lines(...all))]);
  await box.session((sql) => backdate(sql, at));
};

describe('reports as of a time in the past', () => {
  let store: Store;
  beforeAll(async () => {
    box = sandbox({ initialised: true });
    store = await box.openStore();
  });
  afterAll(async () => {
    await store.close();
    await box.remove();
  });
  beforeEach(async () => {
    for (const table of ['usage_metering', 'raw_firehose', 'dlq', 'dlq_replays', 'ingest_batches'])
      await store.command(`TRUNCATE TABLE {{db}}.infrasage_${table}`);
  });

  // Where each of a run's many changes of rows takes the server half a second, one seed must do.
  it.each(ON_SERVER ? [1] : [1, 2])('say what they said then, rolled up or not (seed %i)', async (seed) => {
    const random = seeded(seed);
    const pick = <T>(of: readonly T[]) => of[Math.floor(random() * of.length)] as T;
    let said: { at: Date; found: unknown[] }[] = [];
    const sql = async (statement: string) => {
      await store.command(statement);
      return [];
    };
    const now = () => new Date();
    const age30 = async () => {
      await rollUp(sql);
      said = said.map(({ at, found }) => ({ at: new Date(at.getTime() - 30 * DAY_MS), found }));
    };
    for (let step = 0; step < 4; step++) {
      const at = daysAgo(4 - step);
      // Few hours, so that most have events of several batches.
      const some = Array.from({ length: 1 + Math.floor(random() * 12) }, () =>
        event({
          tenant_id: pick(TENANTS),
          service_id: pick(SERVICES),
          event_type: pick(TYPES),
          timestamp: `2024-02-0${pick([1, 2])}T0${pick([3, 4])}:10:00Z`,
          value: Math.floor(random() * 1e6),
          attributes: random() < 0.5 ? { team: 'web' } : {},
        }),
      );
      const all = [...some, ...(step === 0 ? [event({ timestamp: 'never' })] : [])];
      const source = fileSource(box.file(`${seed}-${step}.ndjson`, lines(...all)));
      await ingestSources([source], OPTIONS, { store, now });
      if (step === 0) {
        await store.command(`INSERT INTO {{db}}.infrasage_raw_firehose (tenant_id, timestamp, event_type, service_id, ingested_at)
          VALUES ('globex', '2024-02-01 03:20:00', 'metric', 'search-api', '${at.toISOString().slice(0, 23).replace('T', ' ')}')`);
      }
      if (step === 3) {
        const wanted = {
          filter: LETTERS,
          options: {},
          changes: new Map([['timestamp', '2024-02-02T03:00:00Z']]),
        };
        const replayed = await replay(wanted, { store, now, id: randomUUID, onPlan: async () => {} });
        expect(replayed.accepted).toBe(1n);
      }
      await backdate(sql, at);
      said.push({ at, found: await reports(store) });
      if (step === 1) await age30();
    }
    const expectAsSaid = async () => {
      for (const { at, found } of said)
        expect(withoutAsOf(await reports(store, at))).toEqual(withoutAsOf(found));
    };
    await expectAsSaid();
    await age30();
    const rolled = await store.query(
      'SELECT count() > 0 AS some FROM {{db}}.infrasage_usage_metering WHERE ingested_from < ingested_at',
      z.object({ some: z.coerce.boolean() }),
    );
    expect(rolled).toEqual([{ some: true }]);
    await expectAsSaid();
  });
});

describe('as of a time in the past', () => {
  beforeEach(() => {
    box = sandbox({ initialised: true });
  });
  afterEach(() => box.remove());

  it('is an option of usage, services and billing, whose spans go back from it', async () => {
    const at = daysAgo(3);
    const stamped = (days: number) => event({ timestamp: time(daysAgo(days)) });
    await ingest('early.ndjson', at, stamped(3.5), stamped(3.4));
    await ingest('late.ndjson', daysAgo(2), stamped(3.3));
    const of = ['--as-of', time(at)];
    expect(await box.json(['usage', ...of])).toMatchObject({
      total_events: 2,
      as_of: time(at),
      period: { end: time(at) },
    });
    expect(await box.json(['usage', '--since', '7d'])).toMatchObject({ total_events: 3 });
    expect(await box.json(['usage', '--since', '7d'])).not.toHaveProperty('as_of');
    expect(await box.json(['services', ...of])).toMatchObject({ breakdown: [{ events: 2 }] });
    const bill = await box.run(['billing', '--month', ...of]);
    expect(bill.stdout).toContain(`, as of ${time(at)}`);
    const chart = await box.run(['usage', ...of, '--chart']);
    expect(chart.stdout).toContain('Total: 2 events');
    const ahead = await box.run(['usage', '--as-of', '2999-01-01']);
    expect(ahead).toMatchObject({ status: 2, stdout: '' });
    expect(ahead.stderr).toContain('--as-of 2999-01-01 is still to come');
  });
});

describe('what was known then', () => {
  beforeEach(() => {
    // Of its own: it sets how long raw rows are kept.
    box = sandbox();
  });
  afterEach(() => box.remove());

  it('is refused where the raw rows that it needs are gone, with the time from which it can be told', async () => {
    const hour = { timestamp: '2024-02-01T03:00:00Z' };
    await ingest('first.ndjson', daysAgo(5), event(hour));
    await ingest('second.ndjson', daysAgo(1), event({ ...hour, value: 2 }));
    await box.session(rollUp);
    await box.json(['init', '--raw-retention', '33d']);
    const usageOf = (days: number, ...more: string[]) =>
      box.run([
        'usage',
        '--since',
        '2024-01-01',
        '--until',
        '2024-03-01',
        ...more,
        '--as-of',
        time(daysAgo(days)),
      ]);
    // The first was ingested 35 days ago, the second 31.
    const gone = await usageOf(34);
    expect(gone).toMatchObject({ status: 3, stdout: '' });
    expect(gone.stderr).toMatch(/is not known any more: .*\n?.*it can be told as of 20\S+Z and later/s);
    expect((await usageOf(32.5)).stdout).toContain('Total: 1 event');
    expect((await usageOf(30)).stdout).toContain('Total: 2 events');
    expect((await usageOf(36)).stdout).toContain('No events in this period.');
    const services = await usageOf(30, '--by', 'service_id');
    expect(services).toMatchObject({ status: 3, stdout: '' });
    expect(services.stderr).toContain('past their retention');
  });

  it('is refused where rows were removed by hand, and nothing is guessed', async () => {
    const hour = { timestamp: '2024-02-01T03:00:00Z' };
    await ingest('first.ndjson', daysAgo(5), event(hour));
    await ingest('second.ndjson', daysAgo(1), event({ ...hour, value: 2 }));
    await box.session(rollUp);
    await box.sql(`ALTER TABLE {{db}}.infrasage_raw_firehose DELETE WHERE 1 SETTINGS mutations_sync = 2`);
    const { status, stderr } = await box.run(['billing', '--month', '2024-02', '--as-of', time(daysAgo(33))]);
    expect(status).toBe(3);
    expect(stderr).toContain('infrasage verify');
  });
});
