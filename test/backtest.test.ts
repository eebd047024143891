import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { parseCsv } from './helpers/formats.ts';

const NOW = new Date('2024-03-16T12:00:00Z');

interface Backtest {
  months: string[];
  tenants: {
    tenant_id: string;
    months: number;
    old: string;
    new: string;
    difference: string;
    change_percent: string | null;
  }[];
  total: { old: string; new: string; difference: string; change_percent: string | null };
  quantiles: Record<string, string> | null;
  buckets: { from_percent: number | null; to_percent: number | null; tenants: number }[];
  skipped: { no_plan: number; other_currency: number };
  over: string[];
}

/** Events at one price each, and a fee. */
const yaml = (name: string, price: string, { fee = '0', currency = 'EUR' } = {}) =>
  `name: ${name}\ncurrency: ${currency}\nbase_fee: ${fee}\ncharges:\n  - {dimension: events, model: flat, price: ${price}}\n`;

describe('billing backtest', () => {
  let box: Sandbox;
  const run = (...args: string[]) => box.run(args, { now: NOW });
  const rehearse = (text: string, ...args: string[]) =>
    run('billing', 'backtest', '--plan', box.file('new.yaml', text), ...args);
  const rehearsed = async (text: string, ...args: string[]) => {
    const { stdout, stderr, status } = await rehearse(text, '--json', ...args);
    expect(stderr).toBe('');
    return { status, found: JSON.parse(stdout) as Backtest };
  };

  beforeAll(async () => {
    box = sandbox({ initialised: true });
    // Tenant, month, events. The current month is in no rehearsal, nor what is older than was asked for.
    const metered = [
      ...[
        ['acme', '2024-02', 1000],
        ['acme', '2024-01', 500],
        ['acme', '2024-03', 77],
        ['acme', '2023-03', 9],
      ],
      ...[
        ['globex', '2024-02', 100],
        ['initech', '2024-01', 10],
        ['hooli', '2024-02', 40],
        ['yen', '2024-02', 5],
      ],
    ];
    await box.sql(`INSERT INTO {{db}}.infrasage_usage_metering
      (tenant_id, hour, event_type, event_count, bytes_ingested, bytes_received, batch_id, ingested_at)
      VALUES ${metered.map(([tenant, month, events]) => `('${tenant}', '${month}-10 00:00:00', 'log', ${events}, 1, 1, '', now64(3))`).join(', ')}`);
    for (const [text, from] of [
      [yaml('standard', '0.10', { fee: '10.00' }), '2023-01'],
      [yaml('free', '0'), '2023-01'],
      [yaml('yen', '1', { currency: 'JPY' }), '2023-01'],
    ] as const) {
      expect((await run('plans', 'apply', box.file('plan.yaml', text), '--from', from)).status).toBe(0);
    }
    for (const args of [
      ['standard', '--tenant', 'acme', '--from', '2024-01'],
      ['standard', '--tenant', 'globex', '--from', '2024-02'],
      ['free', '--tenant', 'hooli', '--from', '2024-02'],
      ['yen', '--tenant', 'yen', '--from', '2024-02'],
    ]) {
      expect((await run('plans', 'assign', ...args)).status).toBe(0);
    }
  });
  afterAll(() => box.remove());

  test('compares the last whole months by tenant, with what could not be compared', async () => {
    const { status, found } = await rehearsed(yaml('new', '0.12', { fee: '1.00' }), '--months', '2');
    expect(status).toBe(0);
    expect(found).toMatchObject({ plan: 'new', currency: 'EUR', months: ['2024-01', '2024-02'] });
    expect(found.tenants).toEqual([
      // 2 x 10 + 1500 x 0.10, and 2 x 1 + 1500 x 0.12
      {
        tenant_id: 'acme',
        months: 2,
        old: '170.00',
        new: '182.00',
        difference: '12.00',
        change_percent: '7.06',
      },
      {
        tenant_id: 'globex',
        months: 1,
        old: '20.00',
        new: '13.00',
        difference: '-7.00',
        change_percent: '-35.00',
      },
      { tenant_id: 'hooli', months: 1, old: '0.00', new: '5.80', difference: '5.80', change_percent: null },
    ]);
    expect(found.total).toEqual({
      old: '190.00',
      new: '200.80',
      difference: '10.80',
      change_percent: '5.68',
    });
    expect(found.skipped).toEqual({ no_plan: 1, other_currency: 1 });
    expect(found.quantiles).toEqual({
      ...{
        min: '-35.00',
        p10: '-35.00',
        p25: '-35.00',
        median: '-35.00',
        p75: '7.06',
        p90: '7.06',
        max: '7.06',
      },
    });
    expect(found.buckets.filter(({ tenants }) => tenants > 0)).toEqual([
      { from_percent: -50, to_percent: -20, tenants: 1 },
      { from_percent: 5, to_percent: 10, tenants: 1 },
    ]);
    const { stdout } = await rehearse(yaml('new', '0.12', { fee: '1.00' }), '--months', '2');
    expect(stdout).toContain('Total: 190.00 EUR would be 200.80 (+10.80, +5.68 %)\n');
    expect(stdout).toContain('Not compared: 1 month of a tenant without a plan\n');
    expect(stdout).toContain('Not compared: 1 month of a tenant billed in another currency\n');
  });

  test('of the same plan changes nothing; a year is the default', async () => {
    const { found } = await rehearsed(yaml('same', '0.10', { fee: '10.00' }), '--tenant', 'acme');
    expect(found.months).toHaveLength(12);
    expect(found.months[0]).toBe('2023-03');
    expect(found.total).toEqual({ old: '170.00', new: '170.00', difference: '0.00', change_percent: '0.00' });
    expect(found.buckets.filter(({ tenants }) => tenants > 0)).toEqual([
      { from_percent: 0, to_percent: 0, tenants: 1 },
    ]);
    expect(found.tenants.map(({ tenant_id }) => tenant_id)).toEqual(['acme']);
  });

  test('ends with 1 where a tenant changes by more than --max-change, up or down', async () => {
    const text = yaml('new', '0.12', { fee: '10.00' });
    // acme: 170 to 200, 17.647… %; globex: 20 to 22, 10 %; hooli from nothing to something, which is more than any.
    const over = async (percent: string, ...args: string[]) => {
      const { status, found } = await rehearsed(text, '--months', '2', '--max-change', percent, ...args);
      return [status, found.over];
    };
    expect(await over('10')).toEqual([1, ['acme', 'hooli']]);
    expect(await over('9.99')).toEqual([1, ['acme', 'hooli', 'globex']]);
    expect(await over('17.64', '--tenant', 'acme')).toEqual([1, ['acme']]);
    expect(await over('17.65', '--tenant', 'acme')).toEqual([0, []]);
    expect(await over('10', '--tenant', 'globex')).toEqual([0, []]);
    const { status, stdout } = await rehearse(text, '--months', '2', '--max-change', '10', '--format', 'csv');
    expect(status).toBe(1);
    expect(parseCsv(stdout).map(([tenant]) => tenant)).toEqual(['tenant_id', 'acme', 'hooli', 'globex']);
  });

  test('refuses what is no plan, no number of months and no percentage', async () => {
    const refused = async (...args: string[]) => {
      const { status, stderr } = await rehearse(yaml('new', '1'), ...args);
      expect(status).toBe(2);
      return stderr;
    };
    expect(await refused('--months', '0')).toContain('--months 0 is not a number of months');
    expect(await refused('--max-change', '-1')).toContain('--max-change -1 is not a percentage');
    expect((await rehearse(yaml('new', '-1'))).stderr).toContain(
      'new.yaml:5: charges[0].price: must not be negative',
    );
    expect(await refused('--month', '2024-02')).toContain(
      'backtest does not take the options of billing: month',
    );
    expect((await run('billing', 'backtest')).stderr).toContain(
      'backtest needs the plan to be tried; give --plan FILE',
    );
  });
});
