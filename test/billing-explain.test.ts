import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { age, merge } from './helpers/aging.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { activeCharacters, parseCsv } from './helpers/formats.ts';

const MONTH = '2024-02';
const TENANT = 'acme-corp';
const FIGURES = ['events', 'bytes_ingested', 'bytes_received'] as const;
type Figures = Record<(typeof FIGURES)[number], number>;

interface Explained extends Figures {
  times: (Figures & { start: string })[];
  times_omitted: (Figures & { rows: number }) | null;
  batches: (Figures & { batch_id: string | null; source: string | null; received_at: string | null })[];
  batches_omitted: (Figures & { rows: number }) | null;
  unattributed: (Figures & { reason: string; raw_kept_since: string | null }) | null;
}

const sum = (rows: readonly (Figures | null)[]): Figures => {
  const total = (name: keyof Figures) => rows.reduce((all, row) => all + (row?.[name] ?? 0), 0);
  return {
    events: total('events'),
    bytes_ingested: total('bytes_ingested'),
    bytes_received: total('bytes_received'),
  };
};

/** What is metered of a type, as plain SQL says it. */
const METERED = (type: string) => `SELECT sum(event_count) AS events, sum(m.bytes_ingested) AS bytes_ingested,
  sum(m.bytes_received) AS bytes_received FROM {{db}}.infrasage_usage_metering AS m
  WHERE tenant_id = '${TENANT}' AND event_type = '${type}' AND toYYYYMM(hour) = 202402`;

/** Some events of February from different hours, and others that are not on that bill. */
function file(seed: number, count: number): string {
  return lines(
    ...Array.from({ length: count }, (_, i) =>
      event({
        timestamp: new Date(Date.UTC(2024, 1, 1 + ((i * seed) % 29), (i * 7) % 24, i % 60)).toISOString(),
        event_type: i % 5 === 0 ? 'log' : 'metric',
        body: 'x'.repeat((i * seed) % 40),
      }),
    ),
    event({ timestamp: '2024-03-01T00:00:00Z' }),
    event({ timestamp: '2024-02-10T00:00:00Z', tenant_id: 'globex' }),
    'no json',
  );
}

const PLAN = `name: tried
currency: EUR
base_fee: 9
charges:
  - id: calls
    dimension: events
    event_types: [metric]
    model: graduated
    minimum: 50
    tiers:
      - up_to: 20
        price: 1
      - price: 0.5
  - id: sent
    dimension: bytes_received
    event_types: [metric, log]
    model: flat
    price: 0.03
`;
interface Invoice {
  lines: { line_id: string; charge_id: string | null; quantity: number | null; amount: string }[];
}
interface Charged extends Invoice {
  amount: string;
  quantity: number;
}

const HOSTILE = '=1+1 \u202Egnp\u001b[31m.ndjson';

describe('a line of the bill', () => {
  let box: Sandbox;
  const explained = (...args: string[]) =>
    box.json<Explained>(['billing', '--month', MONTH, '--tenant', TENANT, '--explain', 'metric', ...args]);

  /** Everything adds up to what is metered, also where a limit leaves rows out. */
  async function expectWhole(type = 'metric'): Promise<Explained> {
    const [metered] = await box.sql<Figures>(METERED(type));
    const whole = await explained('--explain', type, '--limit', '1000');
    const some = await explained('--explain', type, '--limit', '2', '--by', 'day');
    for (const found of [whole, some]) {
      expect(sum([found])).toEqual(metered);
      expect(sum([...found.times, found.times_omitted])).toEqual(metered);
      expect(sum([...found.batches, found.batches_omitted, found.unattributed])).toEqual(metered);
    }
    expect(whole).toMatchObject({ times_omitted: null, batches_omitted: null });
    return whole;
  }

  beforeAll(async () => {
    // Its terms are changed: a database of its own.
    box = sandbox();
    box.file('first.ndjson', file(3, 40));
    box.file('second.ndjson', file(5, 25));
    box.file(HOSTILE, file(11, 15));
    await box.json(['ingest', 'first.ndjson', 'second.ndjson']);
    await box.json(['ingest', HOSTILE]);
    await box.sql(`INSERT INTO {{db}}.infrasage_raw_firehose (tenant_id, timestamp, event_type, service_id)
      VALUES ('${TENANT}', '2024-02-11 10:00:00', 'metric', 'by-hand')`);
  }, 120_000);
  afterAll(() => box?.remove());

  test('adds up from hours, from days, and from batches with their sources', async () => {
    await expectWhole('log');
    const { batches, unattributed } = await expectWhole();
    expect(unattributed).toBeNull();
    expect(batches.map(({ source, events }) => [source, events])).toEqual([
      ['first.ndjson', 32],
      ['second.ndjson', 20],
      [HOSTILE, 12],
      [null, 1],
    ]);
    const ledger = await box.sql<{ id: string; at: string }>(
      `SELECT batch_id AS id, toString(any(received_at)) AS at FROM {{db}}.infrasage_ingest_batches GROUP BY id`,
    );
    for (const { batch_id, received_at } of batches.slice(0, 3)) {
      const at = ledger.find(({ id }) => id === batch_id)?.at;
      expect(new Date(received_at ?? '').getTime()).toBe(new Date(`${at?.replace(' ', 'T')}Z`).getTime());
    }
    const [row] = await box.sql<{ events: number }>(
      `SELECT count() AS events FROM {{db}}.infrasage_raw_firehose WHERE batch_id = '${batches[0]?.batch_id}'
      AND event_type = 'metric' AND tenant_id = '${TENANT}' AND toYYYYMM(timestamp) = 202402`,
    );
    expect(Number(row?.events)).toBe(32);
  });

  test('comes largest first, or in time order', async () => {
    const { times } = await explained('--by', 'day', '--limit', '1000');
    expect(times.map(({ events }) => events)).toEqual(
      times.map(({ events }) => events).sort((a, b) => b - a),
    );
    const { times: inTime } = await explained('--by', 'day', '--sort', 'time', '--limit', '1000');
    expect(inTime.map(({ start }) => start)).toEqual(times.map(({ start }) => start).sort());
    expect(inTime).not.toEqual(times);
  });

  test('says the same in every format, and no name acts on anything', async () => {
    const args = ['billing', '--month', MONTH, '--tenant', TENANT, '--explain', 'metric', '--limit', '2'];
    const found = await explained('--limit', '2');
    const csv = await box.run([...args, '--format', 'csv']);
    expect(csv.stderr).toContain('raise --limit to see them all');
    const [header = [], ...rows] = parseCsv(csv.stdout);
    const cells = rows.map((row) => Object.fromEntries(header.map((name, i) => [name, row[i]])));
    const figures = (part: string) =>
      cells.filter((row) => row.part === part).map((row) => sum([row as never].map(numbers)));
    expect(figures('hour')).toEqual(found.times.map((row) => sum([row])));
    expect(figures('hours_omitted')).toEqual([sum([found.times_omitted])]);
    expect(figures('batch')).toEqual(found.batches.map((row) => sum([row])));
    expect(figures('batches_omitted')).toEqual([sum([found.batches_omitted])]);
    const ndjson = (await box.run([...args, '--format', 'ndjson'])).stdout.trimEnd().split('\n');
    expect(ndjson.map((line) => sum([JSON.parse(line) as Figures]))).toEqual(
      cells.map((row) => sum([numbers(row)])),
    );
    for (const format of ['table', 'markdown', 'json']) {
      const { stdout } = await box.run([...args, '--limit', '1000', '--format', format]);
      expect(activeCharacters(stdout)).toEqual([]);
      expect(stdout).toContain('first.ndjson');
    }
    const table = (await box.run(args)).stdout;
    expect(table).toContain('more hours');
    expect(table).toMatch(/2 more batches +- +- +13 /);
  });

  test.each([
    [['--explain', 'nonsense', '--tenant', TENANT], /nonsense is not on this bill; use one of metric/],
    [['--explain', 'metric'], /--explain needs the tenant/],
    [['--by', 'day'], /--by goes with --explain/],
    [['--explain', 'metric', '--tenant', TENANT, '--by', 'week'], /--by week is not a span/],
    [['--explain', 'metric', '--tenant', TENANT, '--sort', 'name'], /--sort name is not an order/],
    [['--explain', 'metric', '--tenant', TENANT, '--chart'], /--chart does not go with --explain/],
  ])('%j is refused', async (args, words) => {
    const { status, stderr } = await box.run(['billing', '--month', MONTH, ...args]);
    expect({ status, stderr }).toMatchObject({ status: 2, stderr: expect.stringMatching(words) });
  });

  test('of an invoice is traced from its amount to tiers, hours and batches', async () => {
    box.file('plan.yaml', PLAN);
    const args = ['billing', '--month', MONTH, '--tenant', TENANT, '--plan', 'plan.yaml'];
    const [invoice] = (await box.json<{ invoices: Invoice[] }>(args)).invoices;
    for (const [name, charge, dimension, types] of [
      ['calls.2', 'calls', 'events', `'metric'`],
      ['calls', 'calls', 'events', `'metric'`],
      ['sent', 'sent', 'bytes_received', `'metric', 'log'`],
    ] as const) {
      const found = await box.json<Explained & { invoice: Charged }>([
        ...args,
        '--explain',
        name,
        '--limit',
        '3',
      ]);
      const own = invoice?.lines.filter(({ charge_id }) => charge_id === charge) ?? [];
      expect(found.invoice.lines).toEqual(own);
      expect(found.invoice).toMatchObject({ dimension, not_billed: 0 });
      const [row] =
        await box.sql<Figures>(`SELECT sum(event_count) AS events, sum(m.bytes_ingested) AS bytes_ingested,
        sum(m.bytes_received) AS bytes_received FROM {{db}}.infrasage_usage_metering AS m
        WHERE tenant_id = '${TENANT}' AND event_type IN (${types}) AND toYYYYMM(hour) = 202402`);
      expect(found.invoice.quantity).toBe(row?.[dimension]);
      expect(own.reduce((total, { quantity }) => total + (quantity ?? 0), 0)).toBe(row?.[dimension]);
      expect(sum([...found.times, found.times_omitted])[dimension]).toBe(row?.[dimension]);
      expect(sum([...found.batches, found.batches_omitted, found.unattributed])[dimension]).toBe(
        row?.[dimension],
      );
      const cents = own.reduce((total, { amount }) => total + Math.round(Number(amount) * 100), 0);
      expect(found.invoice.amount).toBe((cents / 100).toFixed(2));
    }
    // The tiers: 20 at 1, the other 45 at 0.5; and a minimum of the charge.
    const { stdout } = await box.run([...args, '--explain', 'calls.1']);
    expect(stdout).toMatch(/^calls\.1 .* 20 +1 +1\.00 +20\.00$/m);
    expect(stdout).toMatch(/^calls\.2 .* 45 +1 +0\.50 +22\.50$/m);
    expect(stdout).toMatch(/^calls\.minimum .* 7\.50$/m);
    expect(stdout).toContain('Hours and batches each add up to 65 events.');
    expect(stdout).toContain('Amount: 50.00 EUR, by plan tried (only tried)');
    const fee = await box.json<object>([...args, '--explain', 'base_fee']);
    expect(fee).toMatchObject({ invoice: { amount: '9.00', quantity: null, dimension: null } });
    expect(Object.keys(fee)).not.toContain('batches');
    const unknown = await box.run([...args, '--explain', 'call']);
    expect(unknown.stderr).toMatch(
      /call is not on this bill; use one of base_fee, calls\.1, calls\.2, calls\.minimum, sent,/,
    );
  });

  test('of a type that did not come is zero', async () => {
    expect(await explained('--explain', 'slo')).toMatchObject({ events: 0, times: [], batches: [] });
  });

  // From here on, each test changes what is stored.
  test('is traced to its batches also where the hours are rolled up', async () => {
    const before = await explained('--limit', '1000');
    await box.session(async (sql) => {
      await age(sql, 10);
      await merge(sql);
      const [left] = await sql<{ n: number }>(
        `SELECT count() AS n FROM {{db}}.infrasage_usage_metering WHERE batch_id != ''`,
      );
      expect(Number(left?.n)).toBe(0);
    });
    const after = await expectWhole();
    expect(after.times).toEqual(before.times);
    const plain = (rows: Explained['batches']) => rows.map(({ received_at: _, ...row }) => row);
    expect(plain(after.batches)).toEqual(plain(before.batches));
  });

  test('goes on where only some of the raw rows are kept, and says what is not known any more', async () => {
    box.file('new.ndjson', file(7, 10));
    await box.json(['ingest', 'new.ndjson']);
    await box.json(['init', '--raw-retention', '7d']);
    await box.session(merge);
    const found = await expectWhole();
    expect(found.batches.map(({ source, events }) => [source, events])).toEqual([['new.ndjson', 8]]);
    expect(found.unattributed).toMatchObject({
      events: 65,
      reason: 'removed',
      raw_kept_since: expect.stringMatching(/^20/),
    });
    const { stdout } = await box.run([
      'billing',
      '--month',
      MONTH,
      '--tenant',
      TENANT,
      '--explain',
      'metric',
    ]);
    expect(stdout).toMatch(/^unattributed +raw rows removed +- +65 /m);
    expect(stdout).toMatch(/65 events unattributed: raw rows ingested before 20\S+ are past their retention/);
  });

  test('knows the batches of raw rows that are gone, until their hours are rolled up', async () => {
    await box.sql(
      `ALTER TABLE {{db}}.infrasage_raw_firehose DELETE WHERE tenant_id = '${TENANT}' SETTINGS mutations_sync = 2`,
    );
    const { batches } = await expectWhole();
    expect(batches.map(({ source, events }) => [source, events])).toEqual([['new.ndjson', 8]]);
  });
});

test('a difference that no retention explains is called one', async () => {
  const box = sandbox({ initialised: true });
  try {
    await box.json(['ingest'], { stdin: file(3, 10) });
    await box.sql(`INSERT INTO {{db}}.infrasage_usage_metering (tenant_id, hour, event_type, event_count)
      VALUES ('${TENANT}', '2024-02-01 00:00:00', 'metric', 5)`);
    const args = ['billing', '--month', MONTH, '--tenant', TENANT, '--explain', 'metric'];
    const found = await box.json<Explained>(args);
    expect(found).toMatchObject({ events: 13, unattributed: { events: 5, reason: 'differs' } });
    expect((await box.run(args)).stdout).toContain('infrasage verify says where');
  } finally {
    await box.remove();
  }
});

/** The figures of a row of text. */
function numbers(row: Record<string, string | undefined>): Figures {
  const number = (name: keyof Figures) => Number(row[name]);
  return {
    events: number('events'),
    bytes_ingested: number('bytes_ingested'),
    bytes_received: number('bytes_received'),
  };
}
