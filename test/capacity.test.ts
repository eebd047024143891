import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { daysUntil, type Grower, sizeOf } from '../src/reports/projection.ts';
import { ON_SERVER, type Sandbox, sandbox, withStore } from './helpers/cli.ts';
import { CLUSTER, startCluster, withServer } from './helpers/clickhouse-server.ts';
import { seeded } from './helpers/crash.ts';
import { event, lines } from './helpers/events.ts';
import { parseCsv } from './helpers/formats.ts';

interface Answer {
  tables: {
    table: string;
    rows: number;
    bytes: number;
    compressed_bytes: number;
    uncompressed_bytes: number;
    parts: number;
    oldest: string | null;
    newest: string | null;
  }[];
  database_bytes: number;
  growth: {
    days: number;
    events_per_day: number;
    bytes_per_day: number | null;
    daily: { day: string; events: number; bytes: number }[];
  };
  raw_retention_days: number | null;
  projected: { days: number; bytes: number }[];
  disks: { free: number }[];
  days_left: number | null;
  by_tenant: { tenant_id: string; events: number; bytes: number }[];
  tenants_bytes: number;
}
interface Doctor {
  checks: {
    name: string;
    details: { disks: { free: number }[]; bytes_per_day: number | null; days_left: number | null };
  }[];
}

const DAY = 86_400_000;

describe('capacity', () => {
  let box: Sandbox;
  const seen = (...args: string[]) => box.json<Answer>(['capacity', ...args]);
  /** Events that were ingested so many days ago. */
  const ingestedAgo = (days: number, tenant: string, count: number) =>
    box.sql(`INSERT INTO {{db}}.infrasage_raw_firehose (tenant_id, timestamp, event_type, service_id, body, bytes_ingested, ingested_at)
      SELECT '${tenant}', toDateTime64('2024-02-28 10:00:00', 3, 'UTC'), 'log', 's', randomPrintableASCII(200), 7,
        now64(3) - toIntervalSecond(${Math.round(days * 86_400)}) FROM numbers(${count})`);
  beforeAll(async () => {
    box = sandbox({ initialised: true });
    await box.ready;
    await ingestedAgo(10, 'acme-corp', 30_000);
    await ingestedAgo(0.01, 'acme-corp', 10_000);
    await ingestedAgo(5, 'globex', 20_000);
    // Before the weeks that are looked at.
    await ingestedAgo(40, 'initech', 6000);
    // What is merged later would be smaller by then.
    for (const table of ['raw_firehose', 'usage_metering']) {
      await box.sql(`OPTIMIZE TABLE {{db}}.infrasage_${table} FINAL`);
    }
  });
  afterAll(() => box.remove());

  it('says of each table what the engine says', async () => {
    const { tables, database_bytes } = await seen();
    interface Part {
      table: string;
      rows: number;
      bytes: number;
      compressed: number;
      uncompressed: number;
    }
    const parts =
      await box.sql<Part>(`SELECT table, toFloat64(sum(rows)) AS rows, toFloat64(sum(bytes_on_disk)) AS bytes,
      toFloat64(sum(data_compressed_bytes)) AS compressed, toFloat64(sum(data_uncompressed_bytes)) AS uncompressed
      FROM system.parts WHERE active AND database = trim(BOTH '\`' FROM '{{db}}') GROUP BY table`);
    const of = (name: string) => tables.find(({ table }) => table === name);
    const firehose = of('infrasage_raw_firehose');
    const [part] = parts.filter(({ table }) => table === 'infrasage_raw_firehose');
    expect(firehose).toMatchObject({
      rows: 66_000,
      bytes: part?.bytes,
      compressed_bytes: part?.compressed,
      uncompressed_bytes: part?.uncompressed,
      oldest: '2024-02-28T10:00:00Z',
      newest: '2024-02-28T10:00:00Z',
    });
    expect(database_bytes).toBe(tables.reduce((sum, { bytes }) => sum + bytes, 0));
    expect(tables.map(({ bytes }) => bytes)).toEqual(tables.map(({ bytes }) => bytes).sort((a, b) => b - a));
  });

  it('grows by what was ingested in the weeks asked for, when it was', async () => {
    const { growth, projected, database_bytes, tables } = await seen();
    expect(growth.days).toBe(10);
    expect(growth.events_per_day).toBe(6000);
    expect(growth.daily.map(({ events }) => events)).toEqual([30_000, 20_000, 10_000]);
    const day = (ago: number) => new Date(Date.now() - ago * DAY).toISOString().slice(0, 10);
    expect([day(10), day(10.1)]).toContain(growth.daily[0]?.day);
    // A plain model: every byte that is there came with one of 66,000 events, and 6,000 come a day.
    const firehose = tables.find(({ table }) => table === 'infrasage_raw_firehose');
    const perDay = (database_bytes / 66_000) * 6000;
    expect(growth.bytes_per_day).toBeGreaterThan(((firehose?.bytes ?? 0) / 66_000) * 6000);
    expect((growth.bytes_per_day ?? 0) / perDay).toBeCloseTo(1, 2);
    for (const { days, bytes } of projected) {
      expect(bytes / (database_bytes + perDay * days)).toBeCloseTo(1, 2);
    }
    const week = await seen('--weeks', '1');
    expect(week.growth.events_per_day).toBe(6000);
    expect(week.growth.days).toBe(5);
  });

  it('says when the disk is full, as doctor does, or the limit is reached', async () => {
    const { disks, days_left, growth, database_bytes } = await seen();
    const { checks } = await box.json<Doctor>(['doctor', '--offline']);
    const details = checks.find(({ name }) => name === 'disk')?.details;
    // Asked a moment later, when others have taken of the disk: each holds against its own free bytes.
    expect((details?.bytes_per_day ?? 0) / (growth.bytes_per_day ?? 0)).toBeCloseTo(1, 2);
    for (const [free, days] of [
      [disks[0]?.free, days_left],
      [details?.disks[0]?.free, details?.days_left],
    ]) {
      const line = Math.min(36_500, (free ?? 0) / (growth.bytes_per_day ?? 0));
      expect((days ?? 0) / line).toBeCloseTo(1, 2);
    }
    const perDay = growth.bytes_per_day ?? 0;
    const limit = database_bytes + Math.round(perDay * 12.5);
    expect((await seen('--limit', String(limit))).days_left).toBe(12);
    const over = await box.run(['capacity', '--limit', '1', '--json']);
    expect(over.status).toBe(1);
    expect(JSON.parse(over.stdout)).toMatchObject({ days_left: 0 });
    const { status, stdout } = await box.run(['capacity', '--limit', String(limit)]);
    expect(stdout).toMatch(/Limit: .*, reached in 12 days/);
    expect(status).toBe(0);
    const passed = async (bytes: string) => (await box.run(['capacity', '--limit', bytes])).stdout;
    expect(await passed('500')).toContain(
      'Limit: 500.00 B, passed already; with a unit: infrasage capacity --limit 500GB',
    );
    expect(await passed('1MB')).toMatch(/, passed already$/m);
  });

  it('names the tables whole where there is little room, and writes figures of a kind alike', async () => {
    const { stdout } = await box.run(['capacity'], { columns: 60 });
    expect(stdout).toMatch(/^Table +raw_firehose$/m);
    const piped = (await box.run(['capacity'])).stdout.split('\n').slice(1, 3);
    for (const line of piped) expect(line).toMatch(/^\w+ .* \d+\.\d\d +\d+\.\d\d +\d+$/);
  });

  it('has the tenants by what they have stored, and every table in CSV', async () => {
    const { by_tenant, tenants_bytes } = await seen();
    expect(by_tenant).toEqual([
      { tenant_id: 'acme-corp', events: 40_000, bytes: 280_000 },
      { tenant_id: 'globex', events: 20_000, bytes: 140_000 },
      { tenant_id: 'initech', events: 6000, bytes: 42_000 },
    ]);
    expect(tenants_bytes).toBe(462_000);
    expect((await seen('--tenant', 'globex')).by_tenant).toHaveLength(1);
    const csv = parseCsv((await box.run(['capacity', '--format', 'csv'])).stdout);
    expect(csv[0]).toEqual(
      expect.arrayContaining([
        'table',
        'rows',
        'bytes',
        'ratio',
        'bytes_per_row',
        'parts',
        'oldest',
        'newest',
      ]),
    );
    expect(csv.map(([table]) => table)).toContain('infrasage_raw_firehose');
  });

  it('what is set, such as quotas, takes place and does not grow with what comes in', async () => {
    const before = await seen();
    await box.sql(
      `INSERT INTO {{db}}.infrasage_quotas (tenant_id) SELECT randomPrintableASCII(60) FROM numbers(100000)`,
    );
    const after = await seen();
    await box.sql('TRUNCATE TABLE {{db}}.infrasage_quotas');
    expect(after.database_bytes).toBeGreaterThan(before.database_bytes * 1.2);
    // By a clock that has gone on a moment.
    expect((after.growth.bytes_per_day ?? 0) / (before.growth.bytes_per_day ?? 0)).toBeCloseTo(1, 2);
    const grown = (found: Answer) => found.projected.map(({ bytes }) => bytes - found.database_bytes);
    grown(after).forEach((bytes, i) => {
      expect(bytes / (grown(before)[i] ?? 0)).toBeCloseTo(1, 2);
    });
  });

  it('with a term, the raw rows are level once it is over, and the metering grows on', async () => {
    await box.run(['init', '--raw-retention', '15d']);
    const { raw_retention_days, projected, tables, growth } = await seen();
    expect(raw_retention_days).toBe(15);
    const perDay = 6000;
    const sizeIn = (days: number) =>
      tables.reduce((sum, { table, rows, bytes }) => {
        if (table === 'infrasage_raw_firehose') return sum + (bytes / rows) * perDay * Math.min(days, 15);
        if (table !== 'infrasage_usage_metering') return sum + bytes;
        // Of 66,000 metered events.
        return sum + bytes + (bytes / 66_000) * perDay * days;
      }, 0);
    for (const { days, bytes } of projected) expect(bytes / sizeIn(days)).toBeCloseTo(1, 2);
    expect(growth.events_per_day).toBe(perDay);
  });

  it.each(['0', '1.5', 'many', '200'])('--weeks %s is refused', async (weeks) => {
    expect(await box.run(['capacity', '--weeks', weeks])).toMatchObject({ status: 2, stdout: '' });
  });

  it('has nothing to go by where nothing came', () =>
    withStore(async (empty) => {
      const found = await empty.json<Answer>(['capacity']);
      expect(found).toMatchObject({
        days_left: null,
        by_tenant: [],
        growth: { bytes_per_day: null, daily: [] },
      });
      expect((await empty.run(['capacity'])).stdout).toContain('Nothing was ingested in this time');
    }));
});

describe('a projection', () => {
  /** The same, each day's rows counted one by one. */
  function plain({ unitsPerDay, bytesPerUnit, term, ages }: Grower, days: number): number {
    const cohorts = ages.map((units, age) => ({ units, age }));
    for (let day = 0; day < days; day++) {
      for (const cohort of cohorts) cohort.age += 1;
      cohorts.push({ units: unitsPerDay, age: 0 });
    }
    const there = cohorts.filter(({ age }) => age < (term ?? Number.POSITIVE_INFINITY));
    return there.reduce((sum, { units }) => sum + units, 0) * bytesPerUnit;
  }

  it('with a term is what a count of every day gives, and level once the term is over', () => {
    const next = seeded(11);
    for (let round = 0; round < 200; round++) {
      const term = 1 + Math.floor(next() * 60);
      const ages = Array.from({ length: Math.floor(next() * term) + 1 }, () => Math.floor(next() * 100));
      const grower = {
        table: 't',
        bytesPerUnit: 3,
        unitsPerDay: Math.floor(next() * 100) + 1,
        term,
        ages,
        bytes: 3 * ages.reduce((sum, n) => sum + n, 0),
      };
      for (const days of [1, 5, 30, 90, 365]) {
        expect(sizeOf(grower, days)).toBeCloseTo(plain(grower, days), 6);
      }
      expect(sizeOf(grower, term)).toBe(grower.unitsPerDay * 3 * term);
      const free = Math.floor(next() * 20_000) + 1;
      const full = Array.from({ length: 200 }, (_, day) => day).find(
        (day) => plain(grower, day + 1) > grower.bytes + free,
      );
      expect(daysUntil([grower], free)).toBe(full ?? 36_500);
    }
  });

  it('without one is a line', () => {
    const grower = { table: 't', bytes: 100, unitsPerDay: 2, bytesPerUnit: 5, term: null, ages: [] };
    expect(sizeOf(grower, 30)).toBe(400);
    expect(daysUntil([grower], 105)).toBe(10);
    expect(daysUntil([{ ...grower, unitsPerDay: 0 }], 105)).toBeNull();
  });
});

describe.skipIf(ON_SERVER)('capacity on servers', () => {
  it('is the sum of the shards of a cluster', async () => {
    const pair = await startCluster();
    const box = sandbox();
    try {
      const env = { INFRASAGE_CLICKHOUSE_URL: pair[0]?.url };
      await box.json(['init', '--cluster', CLUSTER, ...pair.flatMap(({ url }) => ['--node', url])], { env });
      const now = new Date().toISOString();
      const stdin = lines(
        ...Array.from({ length: 40 }, (_, i) => event({ tenant_id: `t${i}`, timestamp: now })),
      );
      await box.json(['ingest'], { env, stdin });
      const { tables, disks, by_tenant, growth } = await box.json<Answer>(['capacity'], { env });
      const firehose = tables.find(({ table }) => table === 'infrasage_raw_firehose');
      expect(firehose?.rows).toBe(40);
      expect(firehose?.parts).toBeGreaterThan(1);
      expect(tables.map(({ table }) => table).filter((name) => name.endsWith('_local'))).toEqual([]);
      expect(disks).toHaveLength(2);
      expect(by_tenant).toHaveLength(10);
      expect(growth.events_per_day).toBe(40);
    } finally {
      await box.remove();
      await Promise.all(pair.map((server) => server.remove()));
    }
  });

  it('names the grant that is missing, in one line', () =>
    withServer(
      {
        users: {
          reader: { password: 'r', grants: ['GRANT SELECT ON infrasage.*', 'GRANT SELECT ON system.tables'] },
        },
      },
      async (server) => {
        const box = sandbox();
        try {
          await box.json(['init'], { env: { INFRASAGE_CLICKHOUSE_URL: server.url } });
          const env = { INFRASAGE_CLICKHOUSE_URL: server.urlOf('reader', 'r') };
          const { status, stdout, stderr } = await box.run(['capacity'], { env });
          expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
          expect(stderr).toMatch(
            /^infrasage: sizes cannot be read: the user lacks SELECT ON system\.parts;/m,
          );
        } finally {
          await box.remove();
        }
      },
    ));
});
