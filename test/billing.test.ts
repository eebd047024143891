import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { as, server } from './helpers/api.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { parseCsv, parseMarkdown } from './helpers/formats.ts';
import { type OracleFigures, type OraclePlan, oracle, written, yamlOf } from './helpers/invoice-oracle.ts';

const NOW = new Date('2024-03-16T12:00:00Z');
const TIME = '2024-02-28T10:15:30.250Z';

interface Line {
  line_id: string;
  quantity: number | null;
  unit_price: string | null;
  amount: string;
}
interface Invoice {
  tenant_id: string;
  plan: { name: string; version: number | null };
  currency: string;
  lines: Line[];
  subtotal: string;
  total: string;
  open: boolean;
  projected: { method: string; total: string } | null;
}
interface Bill {
  total_events: number;
  projected_events: number;
  invoices?: Invoice[];
}

/** Half a cent an event makes rounding show, and a minimum makes a line without a quantity. */
const PLAN: OraclePlan = {
  ...{ name: 'standard', currency: 'EUR', digits: 2, base_fee: '10.00', minimum: '11.00' },
  charges: [
    {
      ...{
        id: 'telemetry',
        dimension: 'events',
        event_types: ['metric', 'trace'],
        model: 'graduated',
        per: 2n,
      },
      tiers: [{ up_to: 3n, price: '0.25' }, { price: '0.105' }],
    },
    { id: 'logs', dimension: 'events', event_types: ['log'], model: 'flat', price: '0.30', per: 1000n },
    { id: 'sent', dimension: 'bytes_received', model: 'package', price: '0.01', per: 100n, included: 150n },
    {
      id: 'stored',
      dimension: 'bytes_ingested',
      model: 'volume',
      tiers: [{ up_to: 10n, price: '1' }, { price: '0.001' }],
    },
  ],
};
const EVENTS = [
  ...Array<string>(5).fill(event({ timestamp: TIME })),
  // 150 logs are 0.045: half to even.
  ...Array<string>(150).fill(event({ timestamp: TIME, event_type: 'log', body: 'x' })),
  event({ timestamp: '2024-02-29T23:59:59.999Z', event_type: 'trace' }),
  // The next month, which is open, and another tenant, which has no plan.
  ...Array<string>(40).fill(event({ timestamp: '2024-03-01T00:00:00Z' })),
  event({ timestamp: TIME, tenant_id: 'globex' }),
];

describe('the invoice of a month', () => {
  let box: Sandbox;
  let plan: string;
  const run = (...args: string[]) => box.run(args, { now: NOW });
  const bill = (...args: string[]) => box.json<Bill>(['billing', '--month', ...args], { now: NOW });
  const FEBRUARY = ['2024-02', '--tenant', 'acme-corp'];

  beforeAll(async () => {
    box = sandbox({ initialised: true });
    plan = box.file('plan.yaml', yamlOf(PLAN));
    expect((await box.run(['ingest'], { stdin: lines(...EVENTS) })).status).toBe(0);
  });
  afterAll(() => box.remove());

  /** The figures of acme-corp in a month, as plain SQL gives them. */
  async function figures(month: string): Promise<OracleFigures[]> {
    const rows =
      await box.sql(`SELECT event_type AS type, sum(event_count) AS events, sum(bytes_ingested) AS stored,
        sum(bytes_received) AS sent FROM {{db}}.infrasage_usage_metering
      WHERE tenant_id = 'acme-corp' AND toYYYYMM(hour) = ${month} GROUP BY type`);
    return (rows as Record<string, string | number>[]).map(({ type, events, stored, sent }) => ({
      ...{ type: String(type), events: BigInt(events ?? 0) },
      ...{ bytesIngested: BigInt(stored ?? 0), bytesReceived: BigInt(sent ?? 0) },
    }));
  }

  test('is not there without a plan, and comes with one that is tried or in force', async () => {
    const without = await run('billing', '--month', ...FEBRUARY, '--json');
    expect(JSON.parse(without.stdout)).not.toHaveProperty('invoices');
    const tried = await bill(...FEBRUARY, '--plan', plan);
    expect(tried.invoices).toMatchObject([
      { tenant_id: 'acme-corp', plan: { name: 'standard', version: null } },
    ]);
    expect((await bill('2024-02', '--plan', plan)).invoices?.map((one) => one.tenant_id)).toEqual([
      ...['acme-corp', 'globex'],
    ]);
    expect((await run('billing', '--month', ...FEBRUARY, '--json')).stdout).toBe(without.stdout);
    expect((await run('plans', 'apply', plan, '--from', '2024-01')).status).toBe(0);
    expect(
      (await run('plans', 'assign', 'standard', '--tenant', 'acme-corp', '--from', '2024-02')).status,
    ).toBe(0);
    const inForce = await bill(...FEBRUARY);
    expect(inForce.invoices).toEqual(
      tried.invoices?.map((one) => ({ ...one, plan: { name: 'standard', version: 1 } })),
    );
    expect(await bill('2024-01', '--tenant', 'acme-corp')).not.toHaveProperty('invoices');
    // Who has a plan of their own pays its base fee also where they have sent nothing.
    const [empty] = (await bill('2024-04', '--tenant', 'acme-corp')).invoices ?? [];
    expect(empty).toMatchObject({ total: '11.00' });
    expect((await bill('2024-04')).invoices).toMatchObject([{ tenant_id: 'acme-corp', total: '11.00' }]);
  });

  test('is that of plain fractions on the figures of plain SQL', async () => {
    const [invoice] = (await bill(...FEBRUARY)).invoices ?? [];
    const expected = oracle(PLAN, await figures('202402'));
    expect(invoice?.lines.map(({ line_id, amount }) => [line_id, amount])).toEqual(
      [...expected.lines].map(([id, amount]) => [id, written(amount, 2)]),
    );
    expect(invoice).toMatchObject({ total: written(expected.total, 2), open: false, projected: null });
    expect(invoice?.lines.slice(0, 4)).toMatchObject([
      { line_id: 'base_fee', quantity: null, amount: '10.00' },
      { line_id: 'telemetry.1', quantity: 3, unit_price: '0.25', amount: '0.38' },
      { line_id: 'telemetry.2', quantity: 3, unit_price: '0.105', amount: '0.16' },
      { line_id: 'logs', quantity: 150, unit_price: '0.30', amount: '0.04' },
    ]);
  });

  test('of an open month has what it will come to at this pace', async () => {
    const { invoices = [], projected_events } = await bill('--tenant', 'acme-corp');
    // Half of March has gone by, exactly.
    expect(projected_events).toBe(80);
    const doubled = (await figures('202403')).map(({ type, events, bytesIngested, bytesReceived }) => ({
      ...{ type, events: events * 2n, bytesIngested: bytesIngested * 2n, bytesReceived: bytesReceived * 2n },
    }));
    expect(invoices).toMatchObject([
      { open: true, projected: { method: 'linear', total: written(oracle(PLAN, doubled).total, 2) } },
    ]);
  });

  test('is one number by the command, the API and the SQL of docs/billing.md', async () => {
    const printed = await bill(...FEBRUARY);
    const store = await box.openStore();
    const { app } = await server(store);
    try {
      const ask = async (role: 'viewer' | 'system') =>
        app.inject({ url: '/api/v1/billing?month=2024-02', headers: await as(role) });
      const answer = await ask('viewer');
      expect(answer.json()).toEqual(printed);
      expect((await ask('system')).statusCode).toBe(403);
    } finally {
      await app.close();
      await store.close();
    }
    const docs = readFileSync(new URL('../docs/billing.md', import.meta.url), 'utf8');
    const [, statement = ''] = /```sql\n(SELECT[^`]*)```/.exec(docs) ?? [];
    const sql = statement
      .replaceAll('infrasage.', '{{db}}.')
      .replaceAll('2026-10', '2024-02')
      .replaceAll('2026-11', '2024-03');
    expect(sql).not.toBe(statement);
    const logs = printed.invoices?.[0]?.lines.find(({ line_id }) => line_id === 'logs');
    expect(
      ((await box.sql(sql)) as Record<string, unknown>[]).map((row) => ({
        ...row,
        events: Number(row.events),
      })),
    ).toEqual([{ events: logs?.quantity, amount: Number(logs?.amount) }]);
  });

  test('is printed in every format with the same lines', async () => {
    const [invoice] = (await bill(...FEBRUARY)).invoices ?? [];
    const expected = (invoice?.lines ?? []).map(({ line_id, amount }) => [line_id, amount]);
    const out = async (...args: string[]) => (await run('billing', '--month', ...FEBRUARY, ...args)).stdout;
    const [header = [], ...rows] = parseCsv(await out('--format', 'csv'));
    const at = (row: string[], key: string) => row[header.indexOf(key)];
    expect(rows.map((row) => [at(row, 'line_id'), at(row, 'amount')])).toEqual(expected);
    expect(new Set(rows.map((row) => at(row, 'currency')))).toEqual(new Set(['EUR']));
    const ndjson = (await out('--format', 'ndjson')).trimEnd().split('\n');
    expect(ndjson.map((row) => JSON.parse(row)).map((row) => [row.line_id, row.amount])).toEqual(expected);
    const markdown = parseMarkdown(await out('--format', 'markdown'));
    expect(JSON.stringify(markdown)).toContain('telemetry.2');
    const table = await out();
    for (const [id = '', amount] of expected)
      expect(table).toMatch(new RegExp(`${id.replace('.', '\\.')} .* ${amount?.replace('.', '\\.')}\n`));
    expect(table).toContain(`Total: ${invoice?.total} EUR, by plan standard, version 1\n`);
    const all = (await run('billing', '--month', '2024-02')).stdout;
    expect(all).toContain('Without a plan: globex; infrasage plans assign NAME\n');
  });

  test('of a plan file that is none is refused with its line', async () => {
    const broken = box.file('broken.yaml', yamlOf(PLAN).replace('0.25', '-0.25'));
    const { status, stderr } = await run('billing', '--month', '--plan', broken);
    expect(status).toBe(2);
    expect(stderr).toContain('broken.yaml:12: charges[0].tiers[0].price: must not be negative');
  });
});

describe('a bill of all tenants', () => {
  let box: Sandbox;
  beforeAll(() => {
    box = sandbox({ initialised: true });
  });
  afterAll(() => box.remove());
  const run = (...args: string[]) => box.run(args, { now: NOW });
  const february = async (...args: string[]) => (await run('billing', '--month', '2024-02', ...args)).stdout;
  const ingest = (name: string, ...all: string[]) => box.json(['ingest', box.file(name, lines(...all))]);

  test('goes by the name of one where it is of one alone, and else says whose each line is', async () => {
    await ingest('other.ndjson', event({ timestamp: TIME, tenant_id: 'other' }));
    expect(await february()).toMatch(/^Bill of other, 2024-02/);
    expect((await run('billing', 'close', '2024-01')).status).toBe(0);
    await ingest('late.ndjson', event({ timestamp: '2024-01-05T10:00:00Z', tenant_id: 'late' }));
    // Somebody whose events are of an earlier month.
    expect(await february()).toMatch(/^Bill of all tenants, 2024-02/);

    const file = box.file('plan.yaml', yamlOf({ ...PLAN, base_fee: '7.00', minimum: '9.00', charges: [] }));
    await run('plans', 'apply', file, '--from', '2024-02');
    await run('plans', 'assign', 'standard', '--tenant', 'own', '--from', '2024-02');
    // Somebody who has sent nothing, and pays the fee.
    const table = await february();
    expect(table).toMatch(/^Bill of all tenants, 2024-02/);
    expect(table).toMatch(/^Tenant +Line/m);
    expect(table).toMatch(/^own +base_fee .*7\.00$/m);
    expect(table).toContain('Total of own: 9.00 EUR, by plan standard, version 1\n');
    expect(table).toContain('Without a plan: other');
    const [header = [], ...rows] = parseCsv(await february('--format', 'csv'));
    expect(rows.map((row) => row[header.indexOf('tenant_id')])).toEqual(['own', 'own']);
    expect(await february('--format', 'markdown')).toMatch(/^\| Tenant +\| Line/m);
    expect(JSON.parse(await february('--json'))).toMatchObject({
      ...{ tenant_id: null, by_tenant: [{ tenant_id: 'other' }], invoices: [{ tenant_id: 'own' }] },
      adjustments: [{ tenant_id: 'late' }],
    });

    const alone = await february('--tenant', 'own');
    expect(alone).toMatch(/^Bill of own, 2024-02/);
    expect(alone).toMatch(/^Line +What/m);
    expect(alone).toContain('Total: 9.00 EUR, by plan standard, version 1\n');
  });
});
