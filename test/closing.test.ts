import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { addAlert } from '../src/alerts/alerts.ts';
import { writeFirings } from '../src/alerts/firings.ts';
import { bill, billJson } from '../src/billing/bill.ts';
import { closeMonth, reopenMonth } from '../src/billing/close.ts';
import { readClosings } from '../src/billing/closings.ts';
import { monthFigures } from '../src/billing/figures.ts';
import { recordIntent } from '../src/ingest/ledger.ts';
import { parseMonth } from '../src/period.ts';
import { applyPlan, assignPlan } from '../src/plans/catalog.ts';
import { parsePlan } from '../src/plans/plan.ts';
import { renderJson } from '../src/render/json.ts';
import { PLAIN_LINES, type Store } from '../src/store/store.ts';
import { repairMetering } from '../src/verify/repair.ts';
import { age } from './helpers/aging.ts';
import { server, token } from './helpers/api.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { seeded } from './helpers/crash.ts';
import { event, lines } from './helpers/events.ts';
import { failing } from './helpers/failing.ts';
import { type OraclePlan, oracle, written, yamlOf } from './helpers/invoice-oracle.ts';

const NOW = new Date('2024-07-10T12:00:00Z');
const PLAN: OraclePlan = {
  ...{ name: 'standard', currency: 'EUR', digits: 2, base_fee: '10.00' },
  charges: [
    {
      ...{ id: 'all', dimension: 'events', model: 'graduated', per: 1n },
      tiers: [{ up_to: 4n, price: '0.255' }, { price: '0.1' }],
    },
    { id: 'sent', dimension: 'bytes_received', model: 'package', price: '0.07', per: 100n },
    { id: 'stored', dimension: 'bytes_ingested', model: 'flat', price: '0.0013' },
  ],
};

interface BillJson {
  total_events: number;
  closed_at?: string;
  invoices?: { total: string; lines: unknown[]; adjustments: { month: string; amount: string }[] }[];
  adjustments?: {
    tenant_id: string;
    month: string;
    amount: string | null;
    quantities: { events: number }[];
  }[];
}
const cents = (text: string) => BigInt(text.replace('.', ''));

describe('the bill of a closed month', () => {
  let box: Sandbox;
  beforeEach(() => {
    box = sandbox();
  });
  afterEach(() => box.remove());

  const FORMATS = ['table', 'json', 'ndjson', 'csv', 'markdown'];
  const billed = async (month: string, ...args: string[]) => {
    const texts: string[] = [];
    for (const format of FORMATS)
      texts.push(
        (await box.run(['billing', '--month', month, '--format', format, ...args], { now: NOW })).stdout,
      );
    return texts;
  };
  const ingest = (name: string, ...all: string[]) =>
    box.json(['ingest', '--quiet', box.file(name, lines(...all))]);

  it('is the same in every format, whatever comes, changes or goes; the next one has the difference', async () => {
    const at = (day: string) => ({ timestamp: `2024-06-${day}T10:00:00Z` });
    await box.json(['plans', 'apply', '--from', '2024-06', box.file('plan.yaml', yamlOf(PLAN))], {
      now: NOW,
    });
    await box.json(['plans', 'assign', 'standard', '--tenant', 'acme-corp', '--from', '2024-06'], {
      now: NOW,
    });
    await box.json(['quota', 'set', '10'], { now: new Date('2024-06-01T00:00:00Z') });
    await box.json(['alerts', 'add', '50'], { now: new Date('2024-06-01T00:00:00Z') });
    await ingest(
      'june.ndjson',
      event(at('05')),
      event({ ...at('06'), event_type: 'log' }),
      event({ ...at('07'), tenant_id: 'globex' }),
    );
    const closing = await box.run(['billing', 'close', '2024-06'], { now: NOW });
    expect(closing.stdout).toContain('Closed 2024-06: 3 events');
    const before = await billed('2024-06');
    const [, json = ''] = before;
    expect(JSON.parse(json)).toMatchObject({ closed_at: '2024-07-10T12:00:00Z', total_events: 3 });
    expect(before[0]).toContain('2024-06 (UTC), closed');

    await ingest(
      'late.ndjson',
      ...Array.from({ length: 6 }, (_, i) => event({ ...at('08'), value: i })),
      event({ ...at('08'), tenant_id: 'late' }),
    );
    const changed = box.file('plan.yaml', yamlOf({ ...PLAN, base_fee: '99.00' }));
    const applied = await box.run(['plans', 'apply', '--from', '2024-06', changed], { now: NOW });
    expect(applied.stdout).toContain('Closed, and billed as they were: 2024-06.');
    await box.json(['plans', 'unassign', '--tenant', 'acme-corp', '--from', '2024-06'], { now: NOW });
    await box.json(['alerts', 'remove', '50'], { now: NOW });
    await box.session(async (sql) => {
      await sql(
        `ALTER TABLE {{db}}.infrasage_usage_metering DELETE WHERE event_type = 'log' SETTINGS mutations_sync = 2`,
      );
    });
    expect(await billed('2024-06')).toEqual(before);
    await box.json(['verify', '--repair'], { now: NOW });
    await box.session(async (sql) => {
      await age(sql, 30);
      await sql('OPTIMIZE TABLE {{db}}.infrasage_usage_metering FINAL');
    });
    await box.json(['init', '--raw-retention', '7d']);
    await box.session((sql) => sql('OPTIMIZE TABLE {{db}}.infrasage_raw_firehose FINAL'));
    expect(await billed('2024-06')).toEqual(before);

    const june = ['--month', '2024-06', '--tenant', 'acme-corp'];
    expect(await box.json(['billing', ...june, '--explain', 'all.1'], { now: NOW })).toMatchObject({
      invoice: { quantity: 2, not_billed: 6 },
      events: 8,
    });
    const costs = await box.run(['costs', ...june, '--by', 'event_type', '--json'], { now: NOW });
    expect(costs.stdout).toContain(`"${(JSON.parse(json) as BillJson).invoices?.[0]?.total}"`);

    const july = await box.json<BillJson>(['billing', '--month', '2024-07'], { now: NOW });
    expect(july.adjustments).toMatchObject([
      { tenant_id: 'acme-corp', month: '2024-06', currency: 'EUR' },
      { tenant_id: 'late', month: '2024-06', amount: null, currency: null, quantities: [{ events: 1 }] },
    ]);
    const [shown] = await billed('2024-07');
    expect(shown).toContain('adjustment.2024-06');
    expect(shown).toContain('Changed of 2024-06 since it was billed, late: +1 events');
    // What a recomputation by the plan that was locked differs by.
    await box.json(['billing', 'reopen', '2024-06', '--reason', 'test'], { now: NOW });
    const again = await box.json<BillJson>(
      [
        'billing',
        '--month',
        '2024-06',
        '--tenant',
        'acme-corp',
        '--plan',
        box.file('first.yaml', yamlOf(PLAN)),
      ],
      { now: NOW },
    );
    const locked = (JSON.parse(json) as BillJson).invoices?.[0]?.total ?? '';
    const amount = july.invoices?.[0]?.adjustments[0]?.amount ?? '';
    expect(written(cents(again.invoices?.[0]?.total ?? '') - cents(locked), 2)).toBe(amount);
    expect(cents(amount)).toBeGreaterThan(0n);
  });

  it('is that of the command over the API, and as of a time before it was closed, it was open', async () => {
    await ingest('february.ndjson', event());
    const known = new Date().toISOString();
    await box.json(['billing', 'close', '2024-02']);
    const closed = new Date().toISOString();
    await ingest('late.ndjson', event({ value: 2 }));
    const february = ['billing', '--month', '2024-02', '--tenant', 'acme-corp'];
    const march = ['billing', '--month', '2024-03', '--tenant', 'acme-corp'];
    const bills = [await box.json<BillJson>(february), await box.json<BillJson>(march)];
    expect(bills).toMatchObject([
      { total_events: 1 },
      { total_events: 0, adjustments: [{ month: '2024-02' }] },
    ]);
    const open = await box.json<BillJson>([...february, '--as-of', known]);
    expect(open).toMatchObject({ total_events: 1, as_of: known });
    expect(open.closed_at).toBeUndefined();
    expect(await box.json([...february, '--as-of', closed])).toHaveProperty('closed_at');
    expect(await box.json([...march, '--as-of', closed])).not.toHaveProperty('adjustments');
    const store = await box.openStore();
    const { app } = await server(store, { now: () => new Date() });
    const headers = { authorization: `Bearer ${await token({ exp: Math.ceil(Date.now() / 1000) + 3600 })}` };
    try {
      for (const [i, month] of ['2024-02', '2024-03'].entries()) {
        const answer = await app.inject({ url: `/api/v1/billing?month=${month}`, headers });
        expect(answer.json()).toEqual(bills[i]);
        const summary = await app.inject({ url: `/api/v1/usage/summary?month=${month}`, headers });
        expect(summary.json()).toMatchObject({ total_events: bills[i]?.total_events });
      }
    } finally {
      await app.close();
      await store.close();
    }
  });

  it('history says who, when, what and why; closing twice does nothing; wrong words are refused', async () => {
    await ingest('june.ndjson', event({ timestamp: '2024-06-05T10:00:00Z' }));
    await box.sql(`ALTER TABLE {{db}}.infrasage_usage_metering DELETE WHERE 1 SETTINGS mutations_sync = 2`);
    const refused = await box.run(['billing', 'close', '2024-06'], { now: NOW });
    expect(refused).toMatchObject({ status: 3, stdout: '' });
    expect(refused.stderr).toMatch(/the metering of 2024-06 differs.*verify --repair.*--override/s);
    const closed = await box.run(['billing', 'close', '2024-06', '--override', 'known'], { now: NOW });
    expect(closed.stdout).toContain('Overridden: the metering of 2024-06 differs');
    const twice = await box.run(['billing', 'close', '2024-06'], { now: NOW });
    expect(twice).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('Nothing to do: 2024-06 was closed'),
    });
    await box.json(['billing', 'reopen', '2024-06', '--reason', '=cmd()\u001b[2J'], { now: NOW });
    const { history } = await box.json<{ history: object[] }>(['billing', 'history']);
    expect(history).toMatchObject([
      { action: 'reopen', month: '2024-06', reason: '=cmd()\u001b[2J', before: { events: 0 } },
      {
        action: 'close',
        reason: 'known',
        at: '2024-07-10T12:00:00Z',
        user: expect.any(String),
        host: expect.any(String),
      },
    ]);
    expect((await box.run(['billing', 'history'])).stdout).not.toContain('\u001b');
    for (const [args, words] of [
      [['close', '2024-13'], 'is not a month'],
      [['close', '2024-05', '--override', ' '], '--override needs the reason'],
      [['reopen', '2024-06'], 'reopen needs the reason'],
      [['close', '2024-05', '--tenant', 'acme-corp'], 'takes no --tenant'],
    ] as const) {
      const found = await box.run(['billing', ...args], { now: NOW });
      expect(found).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining(words) });
    }
  });
});

describe('closings', () => {
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
  beforeEach(async () => {
    for (const table of [
      'billing_closings',
      'billed_figures',
      'billed_terms',
      'usage_metering',
      'raw_firehose',
    ])
      await store.command(`TRUNCATE TABLE {{db}}.infrasage_${table}`);
  });

  const month = (name: string) => parseMonth(name, NOW);
  const now = () => NOW;
  const close = (name: string, { on = store, override }: { on?: Store; override?: string } = {}) =>
    closeMonth(on, month(name), { override, now, onStep: () => {} });
  const reopen = (name: string) => reopenMonth(store, month(name), { reason: 'test', now });
  const add = (name: string, tenant: string, type: string, count: number) =>
    store.command(
      `INSERT INTO {{db}}.infrasage_raw_firehose (tenant_id, timestamp, event_type, service_id, value)
      SELECT {tenant:String}, toDateTime64({at:String}, 3, 'UTC'), {type:String}, 'api', number FROM numbers({count:UInt32})`,
      { tenant, at: `${name}-05 10:00:00`, type, count },
    );
  const billOf = (name: string) => bill(store, { tenantId: null, month: month(name), now: NOW });
  const text = async (name: string) =>
    renderJson({ data: billJson(await billOf(name)), rows: [], columns: [] });

  it('are refused for one cause at a time, each with what mends it', async () => {
    await add('2024-05', 'acme-corp', 'log', 2);
    await expect(close('2024-07')).rejects.toThrow('2024-07 is not over');
    await expect(close('2024-07', { override: 'now' })).rejects.toThrow('2024-07 is not over');
    await expect(reopen('2024-05')).rejects.toThrow('2024-05 is not closed');

    const batch = {
      ...{
        batchId: 'k#1',
        key: 'k',
        previousKey: '',
        head: 'h',
        attempt: 1,
        source: 's',
        once: false,
        spooled: 1,
      },
      ...{
        firstLine: 1,
        sourceLines: 1,
        lines: 1,
        bytes: 1,
        crlf: false,
        blank: false,
        cut: [],
        bindings: [],
      },
      ...{ owner: { host: 'elsewhere', pid: 1, started: '' }, options: PLAIN_LINES, receivedAt: NOW },
    };
    await recordIntent(store, batch, NOW);
    await expect(close('2024-05')).rejects.toMatchObject({
      message: expect.stringContaining('1 batch is pending'),
      hint: expect.stringContaining('infrasage recover'),
    });
    await store.command('TRUNCATE TABLE {{db}}.infrasage_ingest_batches');

    const alert = { kind: 'silence' as const, silentSeconds: 3600, serviceId: '', tenantId: 'acme-corp' };
    const { id } = (await addAlert(store, alert, { now: NOW, newId: () => 'quiet' })).alert;
    const fired = (kind: 'silent' | 'recovered', firedAt: Date) => ({
      ...{ id: `${kind}`, digest: 'd', kind, alertId: id, tenantId: 'acme-corp', firedAt, usage: null },
      ...{
        email: null,
        slack: false,
        webhook: null,
        silence: { serviceId: '', seconds: 3600, lastEventAt: firedAt },
      },
    });
    await writeFirings(store, [fired('silent', new Date('2024-05-06T00:00:00Z'))]);
    await expect(close('2024-05')).rejects.toMatchObject({
      message: expect.stringContaining('acme-corp has been silent since 2024-05-06T00:00:00Z'),
      hint: expect.stringContaining(`infrasage alerts remove ${id}`),
    });
    await writeFirings(store, [fired('recovered', new Date('2024-05-07T00:00:00Z'))]);

    // What differs of another month is no obstacle.
    await add('2024-03', 'acme-corp', 'log', 1);
    await store.mutate(`ALTER TABLE {{db}}.infrasage_usage_metering DELETE WHERE hour < '2024-04-01'`);
    expect(await close('2024-05')).toMatchObject({ already: false });
    await expect(close('2024-03')).rejects.toThrow('2024-04 has to be closed first');
    expect(await close('2024-06')).toMatchObject({ already: false });
    await expect(reopen('2024-05')).rejects.toThrow('2024-06 is closed too');
    await reopen('2024-06');
    await reopen('2024-05');
    expect((await readClosings(store)).months).toEqual([]);
  });

  it('that end in the middle close nothing, and two at once close once', async () => {
    await add('2024-05', 'acme-corp', 'log', 2);
    const open = await text('2024-05');
    let nth = 0;
    for (const after of [false, true]) {
      for (nth = 1; ; nth++) {
        const broken = failing(store, { nth, after });
        await close('2024-05', { on: broken }).catch((error: Error) =>
          expect(error.message).toBe('injected failure'),
        );
        const closed = (await readClosings(store)).months.length > 0;
        // The record is what counts: it is the third and last thing that is written.
        expect(closed).toBe(broken.reached ? after && nth === 3 : true);
        if (closed) await reopen('2024-05');
        expect(await text('2024-05')).toBe(open);
        if (!broken.reached) break;
      }
      expect(nth).toBe(4);
    }
    const both = await Promise.all([close('2024-05'), close('2024-05')]);
    expect(both.map(({ already }) => already).sort()).toEqual([false, true]);
    expect(
      (await readClosings(store)).log.filter(({ action }) => action === 'close').at(-1)?.after.events,
    ).toBe(2n);
  });

  it.each([1, 3])(
    'bill everything once, over any course of events, repairs, closings and reopenings (seed %i)',
    async (seed) => {
      const random = seeded(seed);
      const pick = <T>(of: readonly T[]) => of[Math.floor(random() * of.length)] as T;
      const MONTHS = ['2024-03', '2024-04', '2024-05', '2024-06'];
      const parsed = await parsePlan(yamlOf(PLAN), 'plan.yaml');
      await applyPlan(store, { plan: parsed, text: yamlOf(PLAN), month: month('2024-03'), now: NOW });
      await assignPlan(store, { tenantId: 'acme-corp', plan: 'standard', month: month('2024-03'), now: NOW });
      const printed = new Map<string, string>();
      for (let step = 0; step < 20; step++) {
        const dice = random();
        const closed = (await readClosings(store)).months;
        if (dice < 0.5) {
          await add(
            pick(MONTHS),
            pick(['acme-corp', 'globex']),
            pick(['log', 'metric']),
            1 + Math.floor(random() * 5),
          );
        } else if (dice < 0.6) {
          // Events that should not have been there, and the repair that takes them off the metering.
          await store.mutate(
            `ALTER TABLE {{db}}.infrasage_raw_firehose DELETE WHERE event_type = 'log' AND value > ${Math.floor(random() * 4)}`,
          );
          await repairMetering(store, NOW);
        } else if (dice < 0.88) {
          const next =
            closed.length === 0
              ? pick(MONTHS.slice(0, 2))
              : MONTHS.find((name) => !closed.includes(name) && name > (closed.at(-1) ?? ''));
          if (!next) continue;
          await close(next);
          printed.set(next, await text(next));
        } else {
          const last = closed.at(-1);
          if (last === undefined) continue;
          await reopen(last);
          printed.delete(last);
        }
      }
      expect(printed.size).toBeGreaterThan(0);
      for (const [name, then] of printed) expect(await text(name)).toBe(then);

      const bills = new Map<string, Awaited<ReturnType<typeof billOf>>>();
      for (const name of [...MONTHS, '2024-07']) bills.set(name, await billOf(name));
      let paid = 0n;
      let due = 0n;
      for (const name of [...MONTHS, '2024-07']) {
        const metered = await monthFigures(store, { tenantId: null, month: month(name) });
        const billedFor = new Map<string, bigint[]>();
        const count = (
          tenant: string,
          one: (typeof metered)[number] | Omit<(typeof metered)[number], 'tenant'>,
        ) => {
          const key = `${tenant} ${one.type}`;
          const sums = billedFor.get(key) ?? [0n, 0n, 0n];
          billedFor.set(
            key,
            [one.events, one.bytesIngested, one.bytesReceived].map((n, i) => n + (sums[i] ?? 0n)),
          );
        };
        for (const one of bills.get(name)?.found.figures ?? []) count(one.tenant, one);
        for (const { adjustments } of bills.values())
          for (const { tenant, month: of, quantities } of adjustments)
            if (of === name) for (const one of quantities) count(tenant, one);
        const expected = new Map(
          metered.map((one) => [
            `${one.tenant} ${one.type}`,
            [one.events, one.bytesIngested, one.bytesReceived],
          ]),
        );
        for (const [key, sums] of billedFor)
          expect(sums, `${name} ${key}`).toEqual(expected.get(key) ?? [0n, 0n, 0n]);
        expect(billedFor.size).toBeGreaterThanOrEqual(expected.size);
        due += oracle(
          PLAN,
          metered.filter(({ tenant }) => tenant === 'acme-corp'),
        ).total;
        for (const { total } of bills.get(name)?.invoices ?? []) paid += cents(total.toFixed(2));
      }
      expect(paid).toBe(due);
    },
  );
});
