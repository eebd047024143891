import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { costsJson, costsOf, WEIGHTS, type Weight } from '../src/billing/costs.ts';
import type { StoragePrice } from '../src/billing/storage-price.ts';
import { isoTime, parseMonth } from '../src/period.ts';
import { decimal, minorDigits } from '../src/plans/money.ts';
import { jsonText } from '../src/render/json.ts';
import { parseGrouping } from '../src/reports/grouping.ts';
import { GROUPS } from '../src/reports/groups.ts';
import type { Store } from '../src/store/store.ts';
import { backdate } from './helpers/aging.ts';
import { as, server } from './helpers/api.ts';
import { type Sandbox, sandbox, withStore } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { focusFaults } from './helpers/focus.ts';
import { activeCharacters, parseCsv, parseMarkdown } from './helpers/formats.ts';

interface CostsJson {
  tenant_id: string | null;
  month: string;
  open: boolean;
  group_by: string;
  weight: string;
  tenants: TenantJson[];
  without_plan: string[];
}
interface TenantJson {
  tenant_id: string;
  currency: string;
  basis: Record<string, string | number>;
  parts: { kind: string; month: string; amount: string }[];
  total: string;
  breakdown: Row[];
}
interface Row {
  kind: string;
  events: number;
  bytes: number;
  amount: string;
  currency: string;
  [group: string]: string | number | null;
}

/** An amount in the minor unit, without binary fractions. */
const units = (amount: string) => BigInt(amount.replace('.', ''));
const sumOf = (rows: readonly { amount: string }[]) =>
  rows.reduce((sum, { amount }) => sum + units(amount), 0n);
const bytesOf = (rows: readonly { bytes: number }[]) => rows.reduce((sum, { bytes }) => sum + bytes, 0);
const NOW = new Date();
const AT = '2024-02-28T10:15:00Z';
const some = (count: number, fields: Record<string, unknown>) =>
  Array.from({ length: count }, () => event({ timestamp: AT, ...fields }));
const PRICE = '123456789.123';
const month = (...args: string[]) => ['costs', '--month', '2024-02', ...args];
const BY = ['service_id', 'event_type', 'attributes.team', 'attributes.nothing'];

/** What the API is asked, of which tenant, and the command that prints the same. */
const ASKED: [query: string, tenant: string, args: string[]][] = [
  ['', 'acme-corp', []],
  ['&group_by=event_type&weight=events', 'acme-corp', ['--by', 'event_type', '--weight', 'events']],
  [
    `&group_by=attributes.team&storage_price=${PRICE}&currency=KWD`,
    'acme-corp',
    ['--by', 'attributes.team', '--storage-price', PRICE, '--currency', 'KWD'],
  ],
  ['', 'globex', []],
  ...['group_by=hour', 'weight=lines', 'storage_price=1', 'currency=EUR', 'as_of=7d'].map(
    (wrong): [string, string, string[]] => [`&${wrong}`, 'acme-corp', []],
  ),
];

/** By events, with a base fee and a minimum. */
const PLAN = `name: standard
currency: EUR
base_fee: 10.00
minimum: 25.00
charges:
  - dimension: events
    model: flat
    per: 7
    price: 1
`;

/** What `costs --json` prints of February, of a store that is open already; a test below holds the two against each other. */
async function costsIn(
  store: Store,
  by: string,
  {
    weight = 'bytes',
    tenantId = null,
    now = NOW,
    ...more
  }: { weight?: Weight; tenantId?: string | null; now?: Date; storage?: StoragePrice; asOf?: Date } = {},
): Promise<CostsJson> {
  const groupBy = parseGrouping(by, GROUPS);
  const wanted = { tenantId, month: parseMonth('2024-02', now), now, groupBy, weight, ...more };
  return JSON.parse(jsonText(costsJson(await costsOf(store, wanted)))) as CostsJson;
}

describe('with plans, storage prices and services of several tenants', () => {
  let box: Sandbox;
  /** Of acme-corp by its plan, and of all at a storage price, by what they were asked for. */
  const found: Record<string, CostsJson> = {};
  const answers: { statusCode: number; json(): unknown }[] = [];
  beforeAll(async () => {
    box = sandbox({ initialised: true });
    const stdin = lines(
      ...some(7, { service_id: 'checkout-api', attributes: { team: 'payments' } }),
      ...some(5, { service_id: '=cmd|a!A1', event_type: 'log', attributes: { team: '' } }),
      ...some(3, { service_id: '\u202esearch,"api"', attributes: { team: '@SUM(1)' } }),
      ...some(4, { service_id: 'search-api' }),
      ...some(6, { tenant_id: 'globex', service_id: 'worker', attributes: { team: 'payments' } }),
    );
    await box.json(['ingest'], { stdin });
    const plan = box.file('plan.yaml', PLAN);
    await box.json(['plans', 'apply', plan, '--from', '2024-01']);
    await box.json(['plans', 'assign', 'standard', '--tenant', 'acme-corp', '--from', '2024-01']);
    const store = await box.openStore();
    const { app } = await server(store);
    try {
      for (const by of BY) {
        for (const weight of WEIGHTS)
          found[`${by} ${weight}`] = await costsIn(store, by, { weight, tenantId: 'acme-corp' });
        for (const currency of ['JPY', 'EUR', 'KWD'])
          found[`${by} ${currency}`] = await costsIn(store, by, {
            storage: { price: decimal(PRICE), currency, digits: minorDigits(currency) },
          });
      }
      for (const [query, tenant] of ASKED)
        answers.push(
          await app.inject({
            url: `/api/v1/costs?month=2024-02${query}`,
            headers: await as('viewer', tenant),
          }),
        );
    } finally {
      await app.close();
      await store.close();
    }
  });
  afterAll(() => box.remove());
  const foundOf = (key: string): CostsJson => {
    const one = found[key];
    if (!one) throw new Error(`nothing was asked for by ${key}`);
    return one;
  };

  it.each(BY)('the bill by %s adds up to the invoice, by bytes and by events', (by) => {
    for (const weight of WEIGHTS) {
      const of = foundOf(`${by} ${weight}`);
      expect(of).toMatchObject({ month: '2024-02', open: false, group_by: by, weight, without_plan: [] });
      const [tenant] = of.tenants;
      if (!tenant) throw new Error('no costs');
      // 19 events at 1 EUR for 7 are 2.71 EUR, with the fee 12.71, and 12.29 are missing to the minimum.
      expect(tenant).toMatchObject({ tenant_id: 'acme-corp', currency: 'EUR', total: '25.00' });
      expect(tenant.basis).toEqual({ kind: 'plan', name: 'standard', version: 1 });
      expect(tenant.parts.map(({ kind, amount }) => [kind, amount])).toEqual([
        ['usage', '2.71'],
        ['base_fee', '10.00'],
        ['minimum', '12.29'],
      ]);
      expect(sumOf(tenant.breakdown)).toBe(2500n);
      expect(tenant.breakdown.reduce((sum, { events }) => sum + events, 0)).toBe(19);
      const sizes = tenant.breakdown.map((row) => row[weight]);
      expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
      // Off by less than a cent, of however many parts the bill is.
      const whole = sizes.reduce((sum, size) => sum + size, 0);
      for (const row of tenant.breakdown)
        expect(Math.abs(Number(units(row.amount)) - (2500 * row[weight]) / whole)).toBeLessThan(1);
    }
  });

  it('costs of the same month are the bill of `billing`', async () => {
    const bill = await box.json<{ invoice?: { total: string } }>([
      ...['billing', '--month', '2024-02', '--tenant', 'acme-corp'],
    ]);
    const { tenants } = await box.json<CostsJson>(month('--tenant', 'acme-corp'));
    expect(JSON.stringify(bill)).toContain(`"total":"${tenants[0]?.total}"`);
  });

  it('a plan is tried on every tenant, and nothing of it is stored', async () => {
    const tried = box.file('tried.yaml', PLAN.replace('price: 1', 'price: 7').replace('standard', 'tried'));
    const found = await box.json<CostsJson>(month('--plan', tried, '--by', 'event_type'));
    expect(found.without_plan).toEqual([]);
    expect(found.tenants.map(({ tenant_id, total, basis }) => [tenant_id, total, basis])).toEqual([
      ['acme-corp', '29.00', { kind: 'plan', name: 'tried', version: null }],
      ['globex', '25.00', { kind: 'plan', name: 'tried', version: null }],
    ]);
    const table = await box.run(month('--plan', tried, '--tenant', 'globex'));
    expect(table.stdout).toContain('Total: 25.00 EUR, the bill by plan tried (only tried)');
    const { tenants } = await box.json<CostsJson>(month('--tenant', 'acme-corp'));
    expect(tenants[0]?.total).toBe('25.00');
  });

  it('the API has what the command prints, of the tenant of the token', async () => {
    for (const [i, [, , args]] of ASKED.slice(0, 3).entries()) {
      const printed = await box.json<CostsJson>(month('--tenant', 'acme-corp', ...args));
      expect(answers[i]).toMatchObject({ statusCode: 200 });
      expect(answers[i]?.json()).toEqual(printed);
      // As the tests above take it for what is printed.
      if (i === 0) expect(printed).toEqual(foundOf('service_id bytes'));
    }
    expect(answers[3]?.json()).toMatchObject({ tenants: [], without_plan: ['globex'] });
    expect(answers.slice(4).map(({ statusCode }) => statusCode)).toEqual([400, 400, 400, 400, 400]);
  });

  it('says which tenants have no bill, and refuses where none has one', async () => {
    const all = await box.run(month('--json'));
    const found = JSON.parse(all.stdout) as CostsJson;
    expect(found.tenants.map(({ tenant_id }) => tenant_id)).toEqual(['acme-corp']);
    expect(found.without_plan).toEqual(['globex']);
    expect(all.stderr).toContain('no price plan is in force for globex in 2024-02: left out');
    const none = await box.run(month('--tenant', 'globex'));
    expect(none).toMatchObject({ status: 2, stdout: '' });
    expect(none.stderr).toContain('--storage-price');
  });

  it.each([
    ['JPY', 0],
    ['EUR', 2],
    ['KWD', 3],
  ])('a storage price in %s is shared to its %i decimals, for each tenant', (currency, digits) => {
    for (const by of BY) {
      const { tenants } = foundOf(`${by} ${currency}`);
      expect(tenants.map(({ tenant_id }) => tenant_id).sort()).toEqual(['acme-corp', 'globex']);
      for (const { total, breakdown, basis } of tenants) {
        expect(basis).toEqual({ kind: 'storage_price', price: PRICE, per: 'GB-month' });
        // A GB is 10^9 bytes.
        const scale = 10n ** BigInt(3 + 9 - digits);
        const exact = BigInt(bytesOf(breakdown)) * 123_456_789_123n;
        const off = units(total) * scale - exact;
        expect(off < 0n ? -off : off).toBeLessThanOrEqual(scale / 2n);
        expect(total.split('.')[1]?.length ?? 0).toBe(digits);
        expect(sumOf(breakdown)).toBe(units(total));
      }
    }
  });

  it('prints the same in every format, with nothing that acts on a terminal or a spreadsheet', async () => {
    for (const by of ['service_id', 'attributes.team', 'attributes.=1+1']) {
      const args = month('--by', by, '--storage-price', '99999999', '--currency', 'EUR');
      const { tenants } = await box.json<CostsJson>(args);
      const amounts = tenants.flatMap(({ breakdown }) => breakdown.map(({ amount }) => amount));
      const ndjson = await box.run([...args, '--format', 'ndjson']);
      const rows = ndjson.stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Row);
      expect(rows).toEqual(
        tenants.flatMap(({ tenant_id, breakdown }) => breakdown.map((row) => ({ tenant_id, ...row }))),
      );
      const csv = await box.run([...args, '--format', 'csv']);
      const [header = [], ...cells] = parseCsv(csv.stdout);
      expect(header.slice(2)).toEqual(['kind', 'events', 'bytes', 'amount', 'currency']);
      expect(cells.map((row) => row[5])).toEqual(amounts);
      for (const cell of [header, ...cells].flat()) expect(cell).not.toMatch(/^[=+\-@\t\r]/);
      const table = await box.run(args);
      expect([...activeCharacters(table.stdout), ...activeCharacters(csv.stdout)]).toEqual([]);
      for (const amount of amounts) expect(table.stdout).toContain(` ${amount} `);
      const markdown = parseMarkdown((await box.run([...args, '--format', 'markdown'])).stdout);
      expect(markdown.rows.map((row) => row.at(-2))).toEqual(amounts);
    }
  });

  it.each(BY)('as FOCUS 1.2, by %s, every row keeps its rules and they add up to the bill', async (by) => {
    const storage = ['--storage-price', PRICE, '--currency', 'EUR'];
    for (const [args, provider] of [
      [['--tenant', 'acme-corp'], 'InfraSage'],
      [[...storage, '--weight', 'events', '--provider', '=Example "GmbH"'], `'=Example "GmbH"`],
    ] as const) {
      const whole = month('--by', by, ...args);
      const { status, stdout } = await box.run([...whole, '--format', 'focus-csv']);
      expect(status).toBe(0);
      const csv = parseCsv(stdout);
      expect(focusFaults(csv)).toEqual([]);
      const [header = [], ...rows] = csv;
      const cell = (row: string[], name: string) => row[header.indexOf(name)] ?? '';
      const isPlan = provider === 'InfraSage';
      for (const { tenant_id, total } of foundOf(`${by} ${isPlan ? 'bytes' : 'EUR'}`).tenants) {
        const own = rows.filter((row) => cell(row, 'BillingAccountId') === tenant_id);
        const cost = own.map((row) => ({ amount: Number(cell(row, 'BilledCost')).toFixed(2) }));
        expect(sumOf(cost)).toBe(units(total));
        for (const row of own) expect(cell(row, 'ProviderName')).toBe(provider);
        // A SKU is the same whatever the plan, and a storage price is one for GB-months whatever it is shared by.
        const usage = own.filter((row) => cell(row, 'ChargeCategory') === 'Usage');
        expect(new Set(usage.map((row) => [cell(row, 'SkuId'), cell(row, 'PricingUnit')].join()))).toEqual(
          new Set([isPlan ? 'infrasage/usage,GB' : 'infrasage/storage,GB-Months']),
        );
        expect(
          new Set(own.map((row) => [cell(row, 'x_PlanName'), cell(row, 'x_PlanVersion')].join())),
        ).toEqual(new Set([isPlan ? 'standard,1' : ',']));
        expect(cell(own[0] ?? [], 'BillingPeriodStart')).toBe('2024-02-01T00:00:00Z');
        expect(cell(own[0] ?? [], 'BillingPeriodEnd')).toBe('2024-03-01T00:00:00Z');
      }
      const tags = rows.map((row) => cell(row, 'Tags'));
      if (by === 'attributes.team') expect(tags).toContain('{"team":"payments"}');
      if (by === 'event_type') expect(tags).toContain('{"infrasage/event_type":"metric"}');
      if (by === 'service_id') expect(rows.map((row) => cell(row, 'ResourceId'))).toContain('checkout-api');
    }
  });

  it.each([
    [['--by', 'hour'], /^infrasage: --by hour is not a grouping/],
    [['--weight', 'lines'], /^infrasage: --weight lines is not a weight/],
    [['--storage-price', '0.1'], /^infrasage: --storage-price needs a currency/],
    [['--storage-price', '1e-3', '--currency', 'EUR'], /^infrasage: --storage-price 1e-3 is not a price/],
    [['--storage-price', '0.1', '--currency', 'Euro'], /^infrasage: --currency Euro is not a currency/],
    [['--plan', 'plan.yaml', '--storage-price', '1', '--currency', 'EUR'], /two prices/],
    [['--as-of', '2999-01-01'], /^infrasage: --as-of 2999-01-01 is still to come/],
    [['--currency', 'EUR'], /^infrasage: --currency goes with --storage-price/],
    [
      ['--by', 'attributes.infrasage/type', '--format', 'focus-csv'],
      /^infrasage: FOCUS reserves tags that begin/,
    ],
    [['--provider', 'Example'], /^infrasage: --provider goes with --format focus-csv/],
    [['--provider', ' ', '--format', 'focus-csv'], /^infrasage: --provider is empty/],
  ])('%j is refused', async (args, words) => {
    const { status, stdout, stderr } = await box.run(month(...args));
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(words);
  });

  it('no other command prints focus-csv, and each says which does', async () => {
    for (const args of [['usage'], ['billing', '--month'], ['dlq', 'list'], ['tenants']]) {
      const { status, stdout, stderr } = await box.run([...args, '--format', 'focus-csv']);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toMatch(/does not print focus-csv; infrasage costs does/);
    }
  });
});

it('as of a time, the bill and its groups are what they were', async () => {
  await withStore(async (box) => {
    const daysAgo = (days: number) => ({ now: new Date(NOW.getTime() - days * 86_400_000) });
    const plan = box.file('plan.yaml', PLAN.replace('minimum: 25.00', 'minimum: 0'));
    await box.json(['plans', 'apply', plan, '--from', '2024-01'], daysAgo(5));
    await box.json(['plans', 'assign', 'standard', '--tenant', 'acme-corp', '--from', '2024-01'], daysAgo(5));
    const service = (name: string) => ({ service_id: name, attributes: { team: name } });
    const ingest = async (name: string, events: string, { now: at }: { now: Date }) => {
      await box.json(['ingest', box.file(name, events)]);
      await box.session((sql) => backdate(sql, at));
    };
    await ingest('a.ndjson', lines(...some(7, service('first'))), daysAgo(4));
    const ask = async (of: { now?: Date; asOf?: Date }) => {
      const store = await box.openStore();
      try {
        const all: CostsJson[] = [];
        for (const by of BY) all.push(await costsIn(store, by, of));
        return all;
      } finally {
        await store.close();
      }
    };
    const before = await ask(daysAgo(4));
    const later = lines(...some(7, service('second')), ...some(14, service('first')));
    await ingest('b.ndjson', later, daysAgo(2));
    const { now: asOf } = daysAgo(3);
    for (const now of await ask({})) {
      expect(now).not.toHaveProperty('as_of');
      expect(now.tenants[0]?.total).toBe('14.00');
    }
    const then = await ask({ asOf });
    expect(then).toEqual(before.map((one) => ({ ...one, as_of: isoTime(asOf) })));
    expect(then[0]?.tenants[0]?.total).toBe('11.00');
    expect(await box.json<CostsJson>(month('--as-of', isoTime(asOf)))).toEqual(then[0]);
    const early = [
      'costs',
      '--month',
      '2024-04',
      '--as-of',
      '2024-02-29',
      '--storage-price',
      '1',
      '--currency',
      'EUR',
    ];
    expect((await box.run(early)).stdout).toContain('2024-04 (UTC), not begun yet, as of');
    const table = await box.run(month('--as-of', '2024-02-29'));
    expect(table.stdout).toContain('2024-02 (UTC), still open, as of 2024-02-29T00:00:00Z, shared by bytes');
  });
});

it('shares what is metered and not there any more in a row of its own, so that the bill is whole', async () => {
  await withStore(async (box) => {
    await box.json(['ingest'], {
      stdin: lines(
        ...some(5, { service_id: 'gone', attributes: { team: 'x' } }),
        ...some(2, { service_id: 'kept' }),
      ),
    });
    const args = (by: string) => month('--by', by, '--storage-price', '9999999', '--currency', 'EUR');
    const before = await box.json<CostsJson>(args('service_id'));
    await box.sql(
      `ALTER TABLE {{db}}.infrasage_raw_firehose DELETE WHERE service_id = 'gone' SETTINGS mutations_sync = 2`,
    );
    for (const by of ['service_id', 'attributes.team']) {
      const [tenant] = (await box.json<CostsJson>(args(by))).tenants;
      expect(tenant?.total).toBe(before.tenants[0]?.total);
      expect(tenant?.breakdown.map((row) => [row[by], row.kind, row.events])).toEqual([
        [null, 'unattributed', 5],
        ...(by === 'service_id' ? [['kept', 'value', 2]] : [[null, 'none', 2]]),
      ]);
      expect(sumOf(tenant?.breakdown ?? [])).toBe(units(tenant?.total ?? ''));
    }
    // What is of no raw row is metered by type all the same.
    const [byType] = (await box.json<CostsJson>(args('event_type'))).tenants;
    expect(byType?.breakdown.map((row) => [row.event_type, row.events])).toEqual([['metric', 7]]);
  });
});

it('shares a bill without usage with nobody, and a month without anything is empty', async () => {
  await withStore(async (box) => {
    await box.json(['plans', 'apply', box.file('plan.yaml', PLAN), '--from', '2024-01']);
    await box.json(['plans', 'assign', 'standard', '--tenant', 'idle', '--from', '2024-01']);
    const { tenants } = await box.json<CostsJson>(month('--by', 'attributes.team'));
    expect(tenants).toMatchObject([
      {
        tenant_id: 'idle',
        total: '25.00',
        breakdown: [{ kind: 'unattributed', events: 0, amount: '25.00' }],
      },
    ]);
    const csv = await box.run(month('--format', 'focus-csv'));
    expect(focusFaults(parseCsv(csv.stdout))).toEqual([]);
    const none = await box.run(month('--storage-price', '1', '--currency', 'EUR'));
    expect(none.stdout).toContain('No events in this month.');
  });
});

it('shares over thousands of groups, and ends the same every time', async () => {
  await withStore(async (box) => {
    const services = Array.from({ length: 3_000 }, (_, i) => event({ timestamp: AT, service_id: `s${i}` }));
    await box.json(['ingest'], { stdin: lines(...services) });
    const args = month('--storage-price', '1234567', '--currency', 'EUR', '--json');
    const first = await box.run(args);
    const [tenant] = (JSON.parse(first.stdout) as CostsJson).tenants;
    expect(tenant?.breakdown).toHaveLength(3_000);
    expect(sumOf(tenant?.breakdown ?? [])).toBe(units(tenant?.total ?? ''));
    expect((await box.run(args)).stdout).toBe(first.stdout);
  });
});

it('names a tenant whose bill is for adjustments alone among those without a plan: its events are with no bill', async () => {
  await withStore(async (box) => {
    const at = { now: new Date('2024-05-10T12:00:00Z') };
    const plan = box.file(
      'p.yaml',
      'name: p\ncurrency: EUR\ncharges: [{dimension: events, model: flat, price: 0.01}]\n',
    );
    await box.run(['plans', 'apply', plan, '--from', '2024-03'], at);
    await box.run(['plans', 'assign', 'p', '--tenant', 'gone', '--from', '2024-03'], at);
    await box.run(['plans', 'unassign', '--tenant', 'gone', '--from', '2024-04'], at);
    const logs = (count: number, day: string) =>
      some(count, { tenant_id: 'gone', event_type: 'log', timestamp: `${day}T10:00:00Z` });
    await box.json(['ingest'], { stdin: lines(...logs(3, '2024-03-05'), ...logs(60, '2024-04-05')) });
    await box.run(['billing', 'close', '2024-03'], at);
    await box.json(['ingest'], { stdin: lines(...logs(7, '2024-03-06')) });
    const april = await box.run(['costs', '--month', '2024-04', '--json'], at);
    expect(april.stderr).toContain('no price plan is in force for gone in 2024-04: left out');
    const found = JSON.parse(april.stdout) as CostsJson;
    expect(found.without_plan).toEqual(['gone']);
    expect(found.tenants.map(({ total, parts }) => [total, parts.map(({ kind }) => kind)])).toEqual([
      ['0.07', ['adjustment']],
    ]);
    expect(found.tenants.flatMap(({ breakdown }) => breakdown.map(({ events }) => events))).toEqual([0]);
  });
});

it('counts a month once where its tenant has bills in two currencies; who came late is named, with where it is billed', async () => {
  await withStore(async (box) => {
    const at = { now: new Date('2024-05-10T12:00:00Z') };
    const priced = (name: string, currency: string, fee: string, price: string) =>
      box.file(
        `${name}.yaml`,
        `name: ${name}\ncurrency: ${currency}\nbase_fee: ${fee}\ncharges:\n  - dimension: events\n    event_types: [log]\n    model: flat\n    price: ${price}\n`,
      );
    for (const [name, file, from] of [
      ['p', priced('p', 'EUR', '10', '0.01'), '2024-03'],
      ['pu', priced('pu', 'USD', '20', '0.02'), '2024-04'],
    ] as const) {
      await box.run(['plans', 'apply', file, '--from', from], at);
      await box.run(['plans', 'assign', name, '--tenant', 't1', '--from', from], at);
    }
    await box.run(['plans', 'assign', 'p', '--from', '2024-03'], at);
    const logs = (count: number, day: string, tenant: string) =>
      some(count, { tenant_id: tenant, event_type: 'log', timestamp: `${day}T10:00:00Z` });
    await box.json(['ingest'], {
      stdin: lines(...logs(200, '2024-03-05', 't1'), ...logs(300, '2024-04-05', 't1')),
    });
    await box.run(['billing', 'close', '2024-03'], at);
    await box.json(['ingest'], {
      stdin: lines(...logs(7, '2024-03-06', 't1'), ...logs(2, '2024-03-06', 't3')),
    });

    const april = ['costs', '--month', '2024-04', '--tenant', 't1', '--weight', 'events'];
    const csv = parseCsv((await box.run([...april, '--format', 'focus-csv'], at)).stdout);
    expect(focusFaults(csv)).toEqual([]);
    const [header = [], ...rows] = csv;
    const column = (name: string) => rows.map((row) => row[header.indexOf(name)] ?? '');
    const total = (name: string) => column(name).reduce((sum, value) => sum + Number(value), 0);
    expect(total('ConsumedQuantity')).toBe(300);
    expect(column('BillingCurrency')).toEqual(['USD', 'USD', 'EUR']);
    expect(column('ChargeClass')).toEqual(['', '', 'Correction']);
    expect(total('BilledCost')).toBeCloseTo(26 + 0.07, 9);
    const { tenants } = JSON.parse((await box.run([...april, '--json'], at)).stdout) as CostsJson;
    expect(tenants.map(({ parts }) => parts.map(({ kind }) => kind))).toEqual([
      ['usage', 'base_fee'],
      ['adjustment'],
    ]);
    expect(tenants.flatMap(({ breakdown }) => breakdown.map((row) => [row.events, row.amount]))).toEqual([
      [300, '26.00'],
      [0, '0.07'],
    ]);

    const march = ['costs', '--month', '2024-03'];
    const reason =
      'nothing was billed to t3 for 2024-03 when it was closed; it is an adjustment on the bill of 2024-04';
    const late = await box.run([...march, '--tenant', 't3'], at);
    expect(late).toMatchObject({ status: 2, stdout: '' });
    expect(late.stderr).toContain(reason);
    expect(late.stderr).toContain('infrasage costs --month 2024-04 --tenant t3');
    const all = await box.run([...march, '--json'], at);
    expect(all.stderr).toContain(`${reason}: left out`);
    expect(JSON.parse(all.stdout)).toMatchObject({
      ...{ tenants: [{ tenant_id: 't1', total: '12.00' }], without_plan: [] },
      billed_later: [{ tenant_id: 't3', month: '2024-04' }],
    });

    // There is no pace of a month that has not begun.
    const ahead = await box.run(['billing', '--month', '2024-06', '--tenant', 't1'], at);
    expect(ahead.stdout).toContain('2024-06 (UTC), not begun yet');
    expect(ahead.stdout).not.toContain('Projected');
    const json = await box.run(['billing', '--month', '2024-06', '--tenant', 't1', '--json'], at);
    expect(JSON.parse(json.stdout)).toMatchObject({ invoices: [{ open: false, projected: null }] });
  });
});
