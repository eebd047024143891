import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { addAlert, type Channels } from '../src/alerts/alerts.ts';
import type { Channel, Sent } from '../src/alerts/channels/channel.ts';
import { checkAlerts } from '../src/alerts/check.ts';
import { alertHistory } from '../src/alerts/history.ts';
import type { Digest } from '../src/alerts/message.ts';
import type { DeliveryDeps } from '../src/alerts/outbox.ts';
import { setQuota } from '../src/alerts/quotas.ts';
import { type Store, sqlTime } from '../src/store/store.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { runSeed, seeded } from './helpers/crash.ts';
import { failing } from './helpers/failing.ts';

/** On the real engine; the channels here only keep what they are asked to send. */
let box: Sandbox;
let store: Store;
beforeAll(async () => {
  box = sandbox({ initialised: true });
  store = await box.openStore();
});
afterAll(async () => {
  await store.close();
  await box.remove();
});

const TABLES = [
  'usage_metering',
  'raw_firehose',
  'quotas',
  'alert_thresholds',
  'alert_firings',
  'alert_deliveries',
];
beforeEach(async () => {
  for (const table of TABLES) await store.command(`TRUNCATE TABLE {{db}}.infrasage_${table}`);
  clock.now = Date.parse('2026-11-24T12:00:00Z');
  sent.length = 0;
  outcomes.length = 0;
});

const clock = { now: 0 };
const now = () => new Date(clock.now);
const sent: { channel: string; target: string; digest: Digest }[] = [];
/** How the next messages fare; then they are delivered. */
const outcomes: Sent[] = [];
const OK: Sent = { delivered: true, detail: 'ok' };
const DOWN: Sent = { delivered: false, detail: 'down' };

function keeping(channel: string): Channel {
  return {
    send: async (digest, target) => {
      sent.push({ channel, target, digest });
      return outcomes.shift() ?? OK;
    },
  };
}

const deps: DeliveryDeps = {
  now,
  channels: { email: keeping('email'), slack: keeping('slack'), webhook: keeping('webhook') },
  random: () => 0,
};

const NOWHERE: Channels = { email: null, slack: false, webhook: null };
const OPS: Channels = { ...NOWHERE, email: 'ops@acme.example' };
const newId = () => randomBytes(6).toString('hex');

function add(percent: number, channels: Channels = OPS, tenantId = '') {
  return addAlert(store, { kind: 'usage', percent, tenantId, ...channels }, { now: now(), newId });
}

/** Events metered in an hour, the current one unless given. */
function meter(events: number, { tenant = 'acme', hour = sqlTime(now()).slice(0, 13) } = {}) {
  return store.insert('infrasage_usage_metering', {
    ...{ tenant_id: tenant, hour: `${hour}:00:00`, event_type: 'metric', event_count: events },
    ...{ bytes_ingested: events, bytes_received: events, batch_id: '', ingested_at: sqlTime(now()) },
  });
}

/** What was fired of each tenant and month, in percent. */
async function fired(): Promise<string[]> {
  const past = await alertHistory(store, { since: new Date(0), tenantId: null, limit: 1_000 });
  return past
    .map(({ firing }) => `${firing.tenantId} ${firing.usage?.month} ${firing.usage?.percent}`)
    .sort();
}

describe('evaluation', () => {
  it('fires each threshold once, crossed together in one message to each place', async () => {
    await setQuota(store, '', { events: 100n }, now());
    await add(50);
    await add(80, { ...OPS, slack: true });
    await add(95, { email: 'ceo@acme.example', slack: true, webhook: 'https://hooks.example/x' });
    await meter(97);
    expect((await checkAlerts(store, deps)).fired.map(({ usage }) => usage?.percent)).toEqual([50, 80, 95]);
    const places = sent.map(({ channel, target, digest }) => [
      channel,
      target,
      digest.firings.map((f) => f.usage?.percent),
    ]);
    expect(places.sort()).toEqual([
      ['email', 'ceo@acme.example', [95]],
      ['email', 'ops@acme.example', [80, 50]],
      ['slack', '', [95, 80]],
      ['webhook', 'https://hooks.example/x', [95]],
    ]);
    await meter(1);
    expect(await checkAlerts(store, deps)).toEqual({ fired: [], attempts: [], waiting: 0 });
    expect(sent).toHaveLength(4);
  });

  it('fires again in the new month, and when a raised quota is reached', async () => {
    await setQuota(store, '', { events: 100n }, now());
    await add(80);
    await meter(90);
    await checkAlerts(store, deps);
    await setQuota(store, '', { events: 200n }, now());
    await meter(60);
    expect((await checkAlerts(store, deps)).fired).toEqual([]);
    await meter(20);
    expect((await checkAlerts(store, deps)).fired).toMatchObject([
      { usage: { used: 170n, quota: 200n, level: 160n } },
    ]);
    clock.now = Date.parse('2026-12-02T00:00:00Z');
    await meter(159);
    expect((await checkAlerts(store, deps)).fired).toEqual([]);
    await meter(1);
    expect((await checkAlerts(store, deps)).fired).toMatchObject([
      { usage: { month: '2026-12', used: 160n } },
    ]);
  });

  it('evaluates a month that is over again when late events come for it', async () => {
    clock.now = Date.parse('2026-10-15T00:00:00Z');
    await setQuota(store, '', { events: 100n }, now());
    await add(80);
    await meter(70);
    expect((await checkAlerts(store, deps)).fired).toEqual([]);
    clock.now = Date.parse('2026-11-24T12:00:00Z');
    await meter(15, { hour: '2026-10-31 23' });
    await checkAlerts(store, deps);
    expect(sent.map(({ digest }) => digest.firings.map(({ usage }) => usage?.month))).toEqual([['2026-10']]);
  });

  it('is exact however it is interrupted, and however many run at once', async () => {
    const seed = runSeed();
    console.log(`alerts test: seed ${seed}`);
    const random = seeded(seed);
    await setQuota(store, '', { events: 1_000n }, now());
    for (const percent of [25, 50, 75, 100]) await add(percent);
    let used = 0;
    for (let round = 0; round < 24; round++) {
      const events = Math.floor(random() * 90);
      await meter(events);
      used += events;
      clock.now += 5_000;
      // Some evaluations run at once, and some of them are cut off at a random write, before or after it.
      const evaluations = Array.from({ length: 1 + Math.floor(random() * 3) }, () => {
        const cut = random() < 0.5;
        const on = cut ? failing(store, { nth: 1 + Math.floor(random() * 4), after: random() < 0.5 }) : store;
        return checkAlerts(on, deps);
      });
      for (const { status, reason } of (await Promise.allSettled(evaluations)) as PromiseRejectedResult[]) {
        if (status === 'rejected') expect(String(reason)).toContain('injected failure');
      }
    }
    clock.now += 3_600_000;
    await checkAlerts(store, deps);
    const reached = [25, 50, 75, 100].filter((percent) => used * 100 >= percent * 1_000);
    expect(await fired()).toEqual(reached.map((percent) => `acme 2026-11 ${percent}`).sort());
    // Each was in a message; only one whose confirmation could not be written was sent again, under the same key.
    const delivered = new Map(sent.map(({ digest }) => [digest.id, digest]));
    expect(
      [...delivered.values()].flatMap(({ firings }) => firings.map((f) => f.usage?.percent)).sort(),
    ).toEqual(reached.map(Number).sort());
  });
});

describe('delivery', () => {
  beforeEach(async () => {
    await setQuota(store, '', { events: 100n }, now());
    await add(80);
    await meter(90);
  });

  it('is tried again with growing pauses until it is confirmed, and then no more', async () => {
    outcomes.push(DOWN, DOWN, DOWN);
    const tries: number[] = [];
    for (let seconds = 0; seconds < 20; seconds++) {
      const before = sent.length;
      const { waiting } = await checkAlerts(store, deps);
      if (sent.length > before) tries.push(seconds);
      expect(waiting).toBe(sent.length < 4 ? 1 : 0);
      clock.now += 1_000;
    }
    expect(tries).toEqual([0, 1, 3, 7]);
    expect(new Set(sent.map(({ digest }) => digest.id)).size).toBe(1);
    const [past] = await alertHistory(store, { since: new Date(0), tenantId: null, limit: 10 });
    expect(past?.messages[0]?.attempts.map(({ outcome, detail }) => [outcome, detail])).toEqual([
      ['failed', 'down'],
      ['failed', 'down'],
      ['failed', 'down'],
      ['delivered', 'ok'],
    ]);
  });

  it('leaves the other side alone for as long as it asks', async () => {
    outcomes.push({ ...DOWN, retryAfterMs: 60_000 });
    await checkAlerts(store, deps);
    clock.now += 59_000;
    expect(await checkAlerts(store, deps)).toMatchObject({ attempts: [], waiting: 1 });
    clock.now += 1_000;
    expect(await checkAlerts(store, deps)).toMatchObject({
      attempts: [{ outcome: 'delivered' }],
      waiting: 0,
    });
  });

  it('ends after 72 hours, which is said once', async () => {
    outcomes.push(DOWN);
    await checkAlerts(store, deps);
    clock.now += 72 * 3_600_000 + 1;
    expect(await checkAlerts(store, deps)).toMatchObject({ attempts: [{ outcome: 'expired' }], waiting: 0 });
    expect(await checkAlerts(store, deps)).toMatchObject({ attempts: [], waiting: 0 });
    expect(sent).toHaveLength(1);
  });

  it('is one message where several send at once', async () => {
    const results = await Promise.all(Array.from({ length: 5 }, () => checkAlerts(store, deps)));
    expect(results.flatMap(({ fired }) => fired)).toHaveLength(1);
    expect(sent).toHaveLength(1);
  });

  it('is taken up again after a minute where its process has gone while sending', async () => {
    let gone = () => {};
    const lost = new Promise<Sent>((resolve) => {
      gone = () => resolve(DOWN);
    });
    const hanging: Channel = { send: () => lost };
    const first = checkAlerts(store, { ...deps, channels: { ...deps.channels, email: hanging } });
    // The claim is written before anything is sent: wait until it is there.
    const claimed = async () =>
      (await alertHistory(store, { since: new Date(0), tenantId: null, limit: 1 }))[0]?.messages[0]?.attempts
        .length;
    while ((await claimed()) !== 1) {}
    expect(await checkAlerts(store, deps)).toMatchObject({ attempts: [], waiting: 0 });
    clock.now += 59_000;
    expect(await checkAlerts(store, deps)).toMatchObject({ attempts: [], waiting: 1 });
    clock.now += 1_000;
    expect(await checkAlerts(store, deps)).toMatchObject({
      attempts: [{ attempt: 2, outcome: 'delivered' }],
    });
    gone();
    await first;
    expect(await checkAlerts(store, deps)).toMatchObject({ attempts: [], waiting: 0 });
  });
});

describe('silence', () => {
  /** An event in the firehose, which the view meters. */
  const event = (at: string, service = 'api', tenant = 'acme') =>
    store.command(
      `INSERT INTO {{db}}.infrasage_raw_firehose (tenant_id, timestamp, event_type, service_id, batch_id, ingested_at)
      SELECT {tenant:String}, {at:String}, 'metric', {service:String}, '', {now:String}`,
      { tenant, at: sqlTime(new Date(at)), service, now: sqlTime(now()) },
    );
  const silence = (seconds: number, serviceId = '', tenantId = '') =>
    addAlert(
      store,
      { kind: 'silence', silentSeconds: seconds, serviceId, tenantId, ...OPS },
      { now: now(), newId },
    );
  const kinds = async () =>
    (await checkAlerts(store, deps)).fired.map(
      ({ kind, silence: s }) => `${kind} ${s?.serviceId} ${s?.lastEventAt.toISOString()}`,
    );

  it('fires to the second, once, and tells when it is over', async () => {
    await silence(7_200);
    await event('2026-11-24T10:00:01Z');
    expect(await kinds()).toEqual([]);
    clock.now += 999;
    expect(await kinds()).toEqual([]);
    clock.now += 1;
    expect(await kinds()).toEqual(['silent  2026-11-24T10:00:01.000Z']);
    clock.now += 3_600_000;
    expect(await kinds()).toEqual([]);
    // Late events that end before the silence began do not end it.
    await event('2026-11-24T10:30:00Z');
    expect(await kinds()).toEqual([]);
    await event('2026-11-24T12:59:00Z');
    expect(await kinds()).toEqual(['recovered  2026-11-24T12:59:00.000Z']);
    clock.now += 7_200_000;
    expect(await kinds()).toEqual(['silent  2026-11-24T12:59:00.000Z']);
    expect(sent.map(({ digest }) => digest.firings[0]?.kind)).toEqual(['silent', 'recovered', 'silent']);
  });

  it('of a service, while its tenant goes on; an event ahead of the clock counts when it came', async () => {
    await silence(7_200, 'api');
    await event('2026-11-24T09:30:00Z', 'api');
    await event('2026-11-24T11:59:00Z', 'web');
    expect(await kinds()).toEqual(['silent api 2026-11-24T09:30:00.000Z']);
    await event('2026-11-25T08:00:00Z', 'api');
    expect(await kinds()).toEqual(['recovered api 2026-11-24T12:00:00.000Z']);
  });
});
