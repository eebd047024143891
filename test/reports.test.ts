import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { named } from './helpers/cases.ts';
import { type Sandbox, sandbox, withStore } from './helpers/cli.ts';
import type { Ask } from './helpers/engine.ts';
import { event, lines } from './helpers/events.ts';
import { activeCharacters, parseCsv, parseMarkdown } from './helpers/formats.ts';

interface UsageJson {
  tenant_id: string | null;
  period: { start: string; end: string };
  group_by: string;
  breakdown: Record<string, string | number>[];
  total_events: number;
  total_bytes: number;
}

interface TenantMonthJson {
  tenant_id: string | null;
  total_events: number;
  total_bytes: number;
  millions_of_events: number;
  by_type: { event_type: string; events: number; bytes: number }[];
  quota_events: number | null;
  quota_used_percent: number | null;
  projected_events: number;
}

interface BillingJson extends Partial<TenantMonthJson> {
  month: string;
  period: { start: string; end: string };
  by_tenant?: TenantMonthJson[];
}

/** Hand-made events: tenant, service, type, time, how many. */
const EVENTS: readonly [string, string, string, string, number][] = [
  ['acme-corp', 'checkout-api', 'metric', '2024-02-28T10:15:30.250Z', 3],
  ['acme-corp', 'checkout-api', 'log', '2024-02-28T10:59:59.999Z', 2],
  ['acme-corp', 'payment-api', 'metric', '2024-02-28T11:00:00Z', 1],
  ['acme-corp', 'payment-api', 'trace', '2024-02-29T23:59:59.999Z', 1],
  ['acme-corp', 'search-api', 'metric', '2024-03-01T00:00:00Z', 2],
  ['globex', 'checkout-api', 'metric', '2024-02-28T10:30:00Z', 4],
  ['globex', 'billing-worker', 'log', '2024-03-01T12:00:00+02:00', 1],
];
const ALL = ['--since', '2024-01-01', '--until', '2024-12-31'];

/** A group of the firehose, as plain SQL gives it. */
interface Group {
  tenant_id: string;
  service_id: string;
  event_type: string;
  hour: string;
  day: string;
  month: string;
  events: number;
  bytes: number;
}

const sum = (groups: readonly { events: number; bytes: number }[], key: 'events' | 'bytes') =>
  groups.reduce((total, group) => total + group[key], 0);

/** Rows as `usage` must have them: by tenant too where there is more than one. */
function grouped(groups: readonly Group[], by: keyof Group): Record<string, string | number>[] {
  const several = by !== 'tenant_id' && new Set(groups.map((group) => group.tenant_id)).size > 1;
  const rows = new Map<string, Group[]>();
  for (const group of groups) {
    const name = JSON.stringify([several ? group.tenant_id : '', group[by]]);
    rows.set(name, [...(rows.get(name) ?? []), group]);
  }
  return [...rows.values()].map((own) => ({
    ...(several ? { tenant_id: own[0]?.tenant_id ?? '' } : {}),
    [by]: own[0]?.[by] ?? '',
    events: sum(own, 'events'),
    bytes: sum(own, 'bytes'),
  }));
}

/** A length in bytes as ClickHouse's formatReadableSize writes it, up to MiB. */
function readableSize(bytes: number): string {
  if (bytes < 1024) return `${bytes.toFixed(2)} B`;
  return bytes < 1024 ** 2 ? `${(bytes / 1024).toFixed(2)} KiB` : `${(bytes / 1024 ** 2).toFixed(2)} MiB`;
}

const byText = (a: unknown, b: unknown) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

describe('reports on events with known times', () => {
  let box: Sandbox;
  let groups: Group[];

  beforeAll(async () => {
    box = sandbox({ initialised: true });
    const input = EVENTS.flatMap(([tenant_id, service_id, event_type, timestamp, count]) =>
      Array.from({ length: count }, () => event({ tenant_id, service_id, event_type, timestamp })),
    );
    await box.json(['ingest'], { stdin: lines(...input, 'not json', event({ service_id: '' })) });
    groups = await box.sql<Group>(`SELECT tenant_id, service_id, event_type,
      formatDateTime(timestamp, '%Y-%m-%dT%H:00:00Z') AS hour, formatDateTime(timestamp, '%Y-%m-%d') AS day,
      formatDateTime(timestamp, '%Y-%m') AS month, count() AS events, sum(bytes_ingested) AS bytes
      FROM {{db}}.infrasage_raw_firehose GROUP BY ALL`);
    expect(sum(groups, 'events')).toBe(14);
  });
  afterAll(() => box.remove());

  const of = (tenant: string | undefined) =>
    groups.filter((group) => tenant === undefined || group.tenant_id === tenant);

  const GROUPINGS = ['event_type', 'service_id', 'tenant_id', 'hour', 'day', 'month'] as const;
  test.each(
    GROUPINGS.flatMap((by) =>
      [undefined, 'acme-corp'].map((tenant) => [by, tenant ?? 'all tenants', tenant] as const),
    ),
  )('usage --by %s, %s', async (by, _, tenant) => {
    const args = ['usage', ...ALL, '--by', by, ...(tenant ? ['--tenant', tenant] : [])];
    const found = await box.json<UsageJson>(args);
    expect(Object.keys(found)).toEqual([
      'tenant_id',
      'period',
      'group_by',
      'breakdown',
      'total_events',
      'total_bytes',
    ]);
    expect(found).toMatchObject({
      tenant_id: tenant ?? null,
      period: { start: '2024-01-01T00:00:00Z', end: '2024-12-31T00:00:00Z' },
      group_by: by,
      total_events: sum(of(tenant), 'events'),
      total_bytes: sum(of(tenant), 'bytes'),
    });
    expect([...found.breakdown].sort(byText)).toEqual(grouped(of(tenant), by).sort(byText));
    // In time order, or largest first.
    const times = found.breakdown.map((row) => String(row[by]));
    const sizes = found.breakdown.map((row) => Number(row.events));
    if (['hour', 'day', 'month'].includes(by)) expect(times).toEqual([...times].sort());
    else expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
  });

  /** A period, and the hours whose start is in it. */
  const BOTH = ['event_type', 'service_id'] as const;
  const PERIODS: {
    what: string;
    since: string;
    until: string;
    hours: string[];
    bys?: readonly (typeof BOTH)[number][];
  }[] = [
    {
      what: 'one hour',
      since: '2024-02-28T10:00:00Z',
      until: '2024-02-28T11:00:00Z',
      hours: ['2024-02-28T10'],
    },
    {
      what: 'from within an hour: not that one',
      since: '2024-02-28T10:00:01Z',
      until: '2024-02-28T12:00:00Z',
      hours: ['2024-02-28T11'],
      bys: BOTH,
    },
    {
      what: 'to within an hour: all of that one',
      since: '2024-02-28T10:00:00Z',
      until: '2024-02-28T11:00:00.001Z',
      hours: ['2024-02-28T10', '2024-02-28T11'],
      bys: BOTH,
    },
    {
      what: 'an end where an hour starts: without it',
      since: '2024-02-28',
      until: '2024-02-28T11:00:00Z',
      hours: ['2024-02-28T10'],
    },
    {
      what: 'dates, the last not included',
      since: '2024-02-28',
      until: '2024-03-01',
      hours: ['2024-02-28T10', '2024-02-28T11', '2024-02-29T23'],
    },
    {
      what: 'offsets',
      since: '2024-02-28T12:00:00+02:00',
      until: '2024-02-28T07:00:00-04:00',
      hours: ['2024-02-28T10'],
    },
    { what: 'a period without events', since: '2024-02-28T11:00:01Z', until: '2024-02-29', hours: [] },
  ];
  test.each(named(PERIODS))(
    '--since and --until: %s',
    async (_, { since, until, hours, bys = ['event_type'] }) => {
      const expected = groups.filter(({ hour }) => hours.some((start) => hour.startsWith(start)));
      for (const by of bys) {
        const found = await box.json<UsageJson>(['usage', '--since', since, '--until', until, '--by', by]);
        expect([...found.breakdown].sort(byText)).toEqual(grouped(expected, by).sort(byText));
        expect(found.total_events).toBe(sum(expected, 'events'));
      }
    },
  );

  test('services: the same as usage by service; --limit shortens the list, not the totals', async () => {
    const all = await box.json<UsageJson>(['services', ...ALL]);
    expect(all).toEqual(await box.json(['usage', ...ALL, '--by', 'service_id']));
    const two = await box.json<UsageJson>(['services', ...ALL, '--limit', '2']);
    expect(two).toEqual({ ...all, breakdown: all.breakdown.slice(0, 2) });
    const { stdout } = await box.run(['services', ...ALL, '--limit', '2']);
    expect(stdout).toContain(`${all.breakdown.length - 2} rows more`);
    expect(stdout).toContain('Total: 14 events');
  });

  test('billing --month of a past month, all tenants and one; quotas of their own and by default', async () => {
    const february = (tenant?: string) => of(tenant).filter(({ month }) => month === '2024-02');
    const month = (tenant?: string) => ({
      total_events: sum(february(tenant), 'events'),
      total_bytes: sum(february(tenant), 'bytes'),
      millions_of_events: 0,
      by_type: expect.any(Array),
      // The month is over.
      projected_events: sum(february(tenant), 'events'),
      projected_bytes: sum(february(tenant), 'bytes'),
    });
    const head = { month: '2024-02', period: { start: '2024-02-01T00:00:00Z', end: '2024-03-01T00:00:00Z' } };

    const bare = await box.json<BillingJson>(['billing', '--month', '2024-02', '--tenant', 'acme-corp']);
    expect(bare).toEqual({
      tenant_id: 'acme-corp',
      ...head,
      ...month('acme-corp'),
      quota_events: null,
      quota_used_percent: null,
      quota_bytes: null,
      thresholds: [],
    });

    await box.json(['quota', 'set', '3']);
    await box.json(['quota', 'set', '2K', '--tenant', 'acme-corp']);
    await box.json(['alerts', 'add', '95']);
    await setBack(box, '2024-02-10');
    // What was changed after the month has no part in its bill.
    await box.json(['quota', 'set', '5']);
    await box.json(['quota', 'unset', '--tenant', 'acme-corp']);
    await box.json(['alerts', 'remove', '95']);
    await box.json(['alerts', 'add', '60']);
    expect((await box.json<BillingJson>(['billing', '--month', '2024-01'])).by_tenant).toEqual([]);
    const all = await box.json<BillingJson>(['billing', '--month', '2024-02']);
    const threshold = { threshold_percent: 95, dimension: 'events' };
    expect(all).toEqual({
      tenant_id: null,
      ...head,
      ...month(),
      by_tenant: [
        {
          ...{ tenant_id: 'acme-corp', ...month('acme-corp'), quota_events: 2000, quota_used_percent: 0.35 },
          ...{ quota_bytes: null, thresholds: [{ ...threshold, reached: false }] },
        },
        {
          ...{ tenant_id: 'globex', ...month('globex'), quota_events: 3, quota_used_percent: 133.33 },
          ...{ quota_bytes: null, thresholds: [{ ...threshold, reached: true }] },
        },
      ],
    });
    for (const { tenant_id, by_type = [] } of [all, ...(all.by_tenant ?? [])]) {
      const own = february(tenant_id ?? undefined).map((group) => ({ ...group, tenant_id: '' }));
      expect([...by_type].sort(byText)).toEqual(grouped(own, 'event_type').sort(byText));
      const order = by_type.map(({ events }) => events);
      expect(order).toEqual([...order].sort((a, b) => b - a));
    }

    const { stdout } = await box.run(['billing', '--month', '2024-02']);
    expect(stdout).toContain('Quota of globex: 4 of 3 events used (133.33 %)');
    expect(stdout).not.toContain('Projected');
  });

  test('billing --month of a month without events', async () => {
    expect(await box.json<BillingJson>(['billing', '--month', '2023-12'])).toEqual({
      tenant_id: null,
      month: '2023-12',
      period: { start: '2023-12-01T00:00:00Z', end: '2024-01-01T00:00:00Z' },
      total_events: 0,
      total_bytes: 0,
      millions_of_events: 0,
      by_type: [],
      projected_events: 0,
      projected_bytes: 0,
      by_tenant: [],
    });
    expect((await box.run(['billing', '--month', '2023-12'])).stdout).toContain('No events in this month.');
  });

  test('tenants', async () => {
    const { tenants } = await box.json<{ tenants: Record<string, string | number>[] }>(['tenants']);
    const received = (tenant: string) =>
      EVENTS.filter(([tenant_id]) => tenant_id === tenant)
        .map(
          ([tenant_id, service_id, event_type, timestamp, count]) =>
            count * event({ tenant_id, service_id, event_type, timestamp }).length,
        )
        .reduce((a, b) => a + b, 0);
    expect(tenants).toEqual([
      {
        tenant_id: 'acme-corp',
        events: 9,
        bytes: sum(of('acme-corp'), 'bytes'),
        bytes_received: received('acme-corp'),
        first_hour: '2024-02-28T10:00:00Z',
        last_hour: '2024-03-01T00:00:00Z',
      },
      {
        tenant_id: 'globex',
        events: 5,
        bytes: sum(of('globex'), 'bytes'),
        bytes_received: received('globex'),
        first_hour: '2024-02-28T10:00:00Z',
        last_hour: '2024-03-01T10:00:00Z',
      },
    ]);
    expect(await box.json(['tenants', '--tenant', 'globex'])).toEqual({ tenants: tenants.slice(1) });
  });

  /** Every command that prints a report, and its columns. */
  const REPORTS: { what: string; args: string[]; keys: string[]; numbers: string[] }[] = [
    {
      what: 'usage',
      args: ['usage', ...ALL],
      keys: ['tenant_id', 'event_type', 'events', 'bytes'],
      numbers: ['events', 'bytes'],
    },
    {
      what: 'billing',
      args: ['billing', '--month', '2024-02'],
      keys: ['tenant_id', 'event_type', 'events', 'bytes'],
      numbers: ['events', 'bytes'],
    },
    {
      what: 'tenants',
      args: ['tenants'],
      keys: ['tenant_id', 'events', 'bytes', 'bytes_received', 'last_hour'],
      numbers: ['events', 'bytes', 'bytes_received'],
    },
    {
      what: 'dlq list --each',
      args: ['dlq', 'list', '--each'],
      keys: ['id', 'error', 'tenant_id', 'source', 'line', 'excerpt'],
      numbers: ['line'],
    },
  ];
  test.each(named(REPORTS))(
    '%s: ndjson, csv, Markdown and the table have the same rows',
    async (_, { args, keys, numbers }) => {
      const print = async (format: string) => {
        const { status, stdout, stderr } = await box.run([...args, '--no-color', '--format', format], {
          columns: 80,
        });
        expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
        expect(activeCharacters(stdout)).toEqual([]);
        expect(stdout.endsWith('\n')).toBe(true);
        return stdout;
      };
      const rows = (await print('ndjson'))
        .trimEnd()
        .split('\n')
        .map((line): Record<string, string | number | null> => JSON.parse(line));
      expect(rows.length).toBeGreaterThan(1);

      const [header, ...cells] = parseCsv(await print('csv'));
      expect(header).toEqual(keys);
      // What a spreadsheet might take for a formula has an apostrophe before it.
      const defused = (text: string) => (/^[=+\-@]/.test(text) ? `'${text}` : text);
      expect(cells).toEqual(rows.map((row) => keys.map((key) => defused(String(row[key] ?? '')))));

      const markdown = parseMarkdown(await print('markdown'));
      expect(markdown.align).toEqual(keys.map((key) => (numbers.includes(key) ? 'right' : 'left')));
      expect(markdown.rows).toEqual(
        rows.map((row) => keys.map((key) => String(row[key] ?? '').replace(/[\\`*_{}[\]<>|#!~&]/g, '\\$&'))),
      );

      const table = (await print('table')).split('\n');
      const at = table.findIndex(
        (line) => line.includes(markdown.header.at(-1) ?? '') && line.includes(markdown.header[0] ?? ''),
      );
      const [titles = '', ...body] = table.slice(at, at + 1 + rows.length);
      rows.forEach((row, i) => {
        for (const key of numbers) {
          const title = markdown.header[keys.indexOf(key)] ?? '';
          const end = titles.lastIndexOf(title) + title.length;
          const count = Number(row[key]).toLocaleString('en-US');
          const text = key.startsWith('bytes') ? readableSize(Number(row[key])) : count;
          expect(
            body[i]?.slice(0, end).endsWith(` ${text}`),
            `${text} right-aligned under ${title}: ${body[i]}`,
          ).toBe(true);
        }
      });
      expect(
        Math.max(...table.slice(at, at + 1 + rows.length).map((line) => line.length)),
      ).toBeLessThanOrEqual(80);
    },
  );

  test('the tenant column is there only where there is more than one tenant', async () => {
    const header = async (...args: string[]) =>
      parseCsv((await box.run([...args, '--format', 'csv'])).stdout)[0];
    expect(await header('usage', ...ALL, '--tenant', 'globex')).toEqual(['event_type', 'events', 'bytes']);
    expect(await header('usage', '--since', '2024-02-29', '--until', '2024-03-01')).toEqual([
      'event_type',
      'events',
      'bytes',
    ]);
    expect(await header('billing', '--month', '2024-02', '--tenant', 'globex')).toEqual([
      'event_type',
      'events',
      'bytes',
    ]);
  });

  test('dlq list --each: filters, newest first, and how many more there are', async () => {
    const list = async (...args: string[]) =>
      box.json<{
        total: number;
        letters: { id: string; error: string; line: number; tenant_id: string | null }[];
      }>(['dlq', 'list', '--each', ...args]);
    const { total, letters } = await list();
    expect(total).toBe(2);
    expect(letters).toMatchObject([
      {
        error: 'invalid_json',
        line: 15,
        tenant_id: null,
        source: '-',
        message: 'the line is not valid JSON',
        excerpt: 'not json',
      },
      { error: 'invalid_service_id', line: 16, tenant_id: 'acme-corp', source: '-' },
    ]);
    expect(await list('--error', 'invalid_json')).toEqual({ total: 1, letters: letters.slice(0, 1) });
    expect(await list('--tenant', 'acme-corp')).toEqual({ total: 1, letters: letters.slice(1) });
    expect(await list('--limit', '1')).toEqual({ total: 2, letters: letters.slice(0, 1) });
    expect((await box.run(['dlq', 'list', '--error', 'missing_body'])).stdout).toBe(
      'No open dead letters.\n',
    );
    expect(await list('--since', '1h')).toEqual({ total, letters });
    expect((await box.run(['dlq', 'list', '--state', 'all'])).stdout).toContain(
      'dlq list --each --error invalid_json --state all\n',
    );
    expect((await box.run(['dlq', 'list', '--each', '--limit', '1'])).stdout).toContain(
      '1 of 2 dead letters',
    );
  });

  test('dlq show: the exact line, and every rule that it breaks', async () => {
    const { letters } = await box.json<{ letters: { id: string; line: number }[] }>([
      'dlq',
      'list',
      '--each',
    ]);
    const [json, service] = letters;
    expect(await box.json(['dlq', 'show', json?.id ?? ''])).toMatchObject({
      ...json,
      raw: 'not json',
      violations: [{ code: 'invalid_json', path: 'byte 1', found: 'not' }],
    });
    const raw = event({ service_id: '' });
    expect(await box.json(['dlq', 'show', service?.id ?? ''])).toMatchObject({
      ...service,
      raw,
      violations: [{ code: 'invalid_service_id', path: 'service_id', found: '""' }],
    });
    const { stdout } = await box.run(['dlq', 'show', service?.id ?? '']);
    expect(stdout).toContain(`As sent (${raw.length} bytes): ${raw}`);
    expect(stdout).toContain('standard input, line 16');
    for (const id of ['nothing', '000000000000.1-15']) {
      const result = await box.run(['dlq', 'show', id]);
      expect(result).toMatchObject({ status: 2, stdout: '' });
      expect(result.stderr).toMatch(/^infrasage: there is no dead letter .*infrasage dlq list --each\n$/);
    }
  });
});

describe('what is stored for later: quotas and alerts', () => {
  let box: Sandbox;
  beforeAll(() => {
    box = sandbox();
  });
  afterAll(() => box.remove());

  interface Alert {
    id: string;
    tenant_id: string | null;
    threshold_percent: number;
    notify_email: string | null;
    notify_slack: boolean;
    notify_webhook: string | null;
  }

  test('alerts add 80 on a fresh data directory; again updates it; list and remove', async () => {
    const list = async (...args: string[]) =>
      (await box.json<{ alerts: Alert[] }>(['alerts', 'list', ...args])).alerts;
    const first = await box.run(['alerts', 'add', '80']);
    expect(first).toMatchObject({ status: 0, stderr: '' });
    expect(first.stdout).toMatch(/Added: an alert at 80 % .*every tenant/);

    const [stored] = await list();
    const plain = {
      tenant_id: null,
      threshold_percent: 80,
      notify_email: null,
      notify_slack: false,
      notify_webhook: null,
    };
    expect(stored).toEqual({ id: expect.stringMatching(/^[0-9a-f]{12}$/), ...plain });

    const channels = [
      '--email',
      'ops@acme.example',
      '--slack',
      '--webhook',
      'https://hooks.acme.example/usage?x=1',
    ];
    const updated = await box.json<Alert>(['alerts', 'add', '80', ...channels]);
    expect(updated).toEqual({
      ...plain,
      id: stored?.id,
      notify_email: 'ops@acme.example',
      notify_slack: true,
      notify_webhook: 'https://hooks.acme.example/usage?x=1',
    });
    expect(await list()).toEqual([updated]);
    // A channel that is not given stays, and what it was and is now is said.
    const all = 'e-mail to ops@acme.example, Slack, the webhook https://hooks.acme.example';
    const same = await box.run(['alerts', 'add', '80']);
    expect(same.stdout).toContain(`Updated: an alert at 80 % of the monthly quota of every tenant.
Its channels are as before: ${all}.
`);
    expect(await list()).toEqual([updated]);
    const less = await box.run([
      'alerts',
      'add',
      '80',
      '--email',
      'b@acme.example',
      '--no-slack',
      '--no-webhook',
    ]);
    expect(less.stdout).toContain(`Its channels are e-mail to b@acme.example; they were ${all}.`);
    expect(await list()).toEqual([
      { ...updated, notify_email: 'b@acme.example', notify_slack: false, notify_webhook: null },
    ]);
    const nothing = await box.run(['alerts', 'add', '80', '--no-email']);
    expect(nothing.stdout).toContain('Its channels are none; they were e-mail to b@acme.example.');
    expect(await box.json(['alerts', 'add', '80', ...channels])).toEqual(updated);

    const own = await box.json<Alert>(['alerts', 'add', '99.5%', '--tenant', 'acme-corp']);
    const low = await box.json<Alert>(['alerts', 'add', '1']);
    const high = await box.json<Alert>(['alerts', 'add', '1000', '--tenant', 'acme-corp']);
    expect(own).toMatchObject({ tenant_id: 'acme-corp', threshold_percent: 99.5 });
    expect(await list()).toEqual([low, updated, own, high]);
    expect(await list('--tenant', 'acme-corp')).toEqual([own, high]);
    expect(parseCsv((await box.run(['alerts', 'list', '--format', 'csv'])).stdout)[0]).toEqual(
      Object.keys(updated),
    );

    expect(await box.json(['alerts', 'remove', own.id])).toEqual(own);
    expect(await box.json(['alerts', 'remove', '80'])).toEqual(updated);
    expect(await box.json(['alerts', 'remove', '1000', '--tenant', 'acme-corp'])).toEqual(high);
    expect(await list()).toEqual([low]);
    for (const gone of [own.id, '80']) {
      const result = await box.run(['alerts', 'remove', gone]);
      expect(result).toMatchObject({ status: 2, stdout: '' });
      expect(result.stderr).toMatch(/^infrasage: there is no alert .*; see infrasage alerts list\n$/);
    }
    const again = await box.json<Alert>(['alerts', 'add', '80']);
    expect(again).toEqual({ ...plain, id: expect.any(String) });
    expect(await list()).toEqual([low, again]);
  });

  test('what applies to a tenant, and what it loses with alerts of its own, is said', () =>
    withStore(async (own) => {
      const shown = async (...args: string[]) => (await own.run(args)).stdout;
      await own.json(['alerts', 'add', '80']);
      const added = await shown('alerts', 'add', '95', '--tenant', 'acme-corp');
      expect(added).toContain(
        'Alerts of its own replace the default ones: 80 % no longer applies to acme-corp. To keep it: infrasage alerts add 80 --tenant acme-corp\n',
      );
      expect(added).toContain('infrasage quota set 100M --tenant acme-corp');
      expect(await shown('alerts', 'add', '96', '--tenant', 'acme-corp')).not.toContain('replace');
      expect(await shown('alerts', 'add', '--silent-for', '2h')).toContain(
        'when any tenant has sent nothing',
      );
      expect(
        await shown('alerts', 'add', '--silent-for', '3h', '--service', 'api', '--tenant', 'acme-corp'),
      ).toContain('To keep it: infrasage alerts add --silent-for 2h --tenant acme-corp\n');
      expect(await shown('usage', '--tenant', 'initech')).toContain(
        'initech has no quota, so the alert at 80 % cannot fire: infrasage quota set 100M --tenant initech\n',
      );
      expect(await shown('usage', '--tenant', 'acme-corp')).toContain(
        'so the alerts at 95 %, 96 % cannot fire',
      );
      const { status, stderr } = await own.run(['alerts', 'remove', '95']);
      expect(status).toBe(2);
      expect(stderr).toContain('acme-corp has one: infrasage alerts remove 95 --tenant acme-corp');
      expect((await own.run(['alerts', 'test', '80', '--tenant', 'acme-corp'])).stderr).toContain(
        'the default one is meant without --tenant: infrasage alerts test 80\n',
      );
      await own.json(['quota', 'set', '10', '--tenant', 'acme-corp']);
      expect(await shown('usage', '--tenant', 'acme-corp')).toContain(
        'Quota of acme-corp: 0 of 10 events used',
      );
    }));

  test('to keep default alerts beside its own, a tenant is given them with their channels', () =>
    withStore(async (own) => {
      const shown = async (...args: string[]) => (await own.run(args)).stdout;
      const hook = "https://hooks.acme.example/?a=1&b='";
      await shown('alerts', 'add', '80', '--email', 'ops@acme.example', '--slack');
      expect(await shown('alerts', 'add', '70', '--tenant', 'globex')).toContain(
        ': infrasage alerts add 80 --email ops@acme.example --slack --tenant globex\n',
      );
      await shown('alerts', 'add', '--silent-for', '2h', '--webhook', hook);
      expect(
        await shown('alerts', 'add', '--silent-for', '3h', '--service', 'api', '--tenant', 'globex'),
      ).toContain(
        `: infrasage alerts add --silent-for 2h --webhook 'https://hooks.acme.example/?a=1&b='\\''' --tenant globex\n`,
      );
    }));

  test('a new alert says which tenants it applies to, where quotas are of single tenants', () =>
    withStore(async (own) => {
      const shown = async (...args: string[]) => (await own.run(args)).stdout;
      await own.json(['quota', 'set', '10', '--tenant', 'acme-corp']);
      await own.json(['alerts', 'add', '70', '--tenant', 'acme-corp']);
      await own.json(['alerts', 'add', '--silent-for', '2h', '--tenant', 'globex']);
      expect(await shown('alerts', 'add', '100')).toContain(
        'It applies to no tenant yet: of those with a quota, each has alerts of its own (acme-corp); infrasage quota set 100M sets a quota for all others.\n',
      );
      // Alerts on silence take the place of none on usage.
      await own.json(['quota', 'set', '10', '--tenant', 'globex']);
      expect(await shown('alerts', 'add', '100')).toContain('It applies to 1 tenant with a quota: globex; ');
      await own.json(['quota', 'set', '10']);
      expect(await shown('alerts', 'add', '100')).not.toContain('applies');
    }));

  test.each(['0.5', '1001', 'abc', '-5', '80.123'])('alerts add %s is refused', async (percent) => {
    const result = await box.run(['alerts', 'add', percent]);
    expect(result).toMatchObject({ status: 2, stdout: '' });
    expect(result.stderr).toMatch(
      /^infrasage: .*is not a percentage from 1 to 1000; write it like 80 or 99\.5\n$/,
    );
  });

  test('quota set, show and unset, of one tenant and by default', async () => {
    const show = async (...args: string[]) =>
      (await box.json<{ quotas: object[] }>(['quota', 'show', ...args])).quotas;
    expect(await show()).toEqual([]);
    expect((await box.run(['quota', 'show'])).stdout).toContain('No quota is set');
    expect(await box.json(['quota', 'set', '100M'])).toEqual({
      ...{ tenant_id: null, monthly_events: 100_000_000, monthly_bytes: null },
    });
    const own = { tenant_id: 'acme-corp', monthly_events: 2_500_000_000, monthly_bytes: null };
    expect(await box.json(['quota', 'set', '2.5b', '--tenant', 'acme-corp'])).toEqual(own);
    const default_ = { tenant_id: null, monthly_events: 1_000_000, monthly_bytes: null };
    expect(await box.json(['quota', 'set', '1_000_000'])).toEqual(default_);
    expect(await show()).toEqual([default_, own]);
    expect(await show('--tenant', 'acme-corp')).toEqual([own]);
    expect((await box.run(['quota', 'show'])).stdout).toMatch(/acme-corp +2,500,000,000 +-\n/);

    // A limit that is not given stays.
    const both = { ...own, monthly_bytes: 1.5 * 2 ** 40 };
    expect(await box.json(['quota', 'set', '--bytes', '1.5TiB', '--tenant', 'acme-corp'])).toEqual(both);
    const typed = await box.run(['quota', 'set', '--bytes', '500GB', '--tenant', 'acme-corp']);
    expect(typed.stdout).toContain(': 2,500,000,000 events and 465.66 GiB (500GB) stored a month.\n');
    expect(await box.json(['quota', 'set', '--bytes', '1.5TiB', '--tenant', 'acme-corp'])).toEqual(both);

    const none = { tenant_id: null, monthly_events: null, monthly_bytes: null };
    expect(await box.json(['quota', 'unset'])).toEqual(none);
    const { changes } = await box.json<{ changes: object[] }>(['quota', 'show', '--history']);
    expect(changes).toEqual(
      [
        ...[{ ...default_, monthly_events: 100_000_000 }, default_, none],
        ...[own, both, { ...both, monthly_bytes: 500e9 }, both],
      ].map((change) => ({
        changed_at: expect.stringMatching(/^\d{4}-/),
        ...change,
      })),
    );
    expect(await show()).toEqual([both]);
    expect((await box.run(['quota', 'unset'])).stdout).toBe('There was no quota to remove.\n');
    expect((await box.run(['quota', 'unset', '--tenant', 'acme-corp'])).stdout).toContain(
      'Removed: 2,500,000,000 events and 1.50 TiB stored a month',
    );
    expect(await show()).toEqual([]);
  });

  test.each(['0', 'abc', '1.5', '18446744073709551616'])('quota set %s is refused', async (amount) => {
    for (const [args, unit] of [[[amount], 'events'] as const, [['--bytes', amount], 'bytes'] as const]) {
      const result = await box.run(['quota', 'set', ...args]);
      expect(result).toMatchObject({ status: 2, stdout: '' });
      expect(result.stderr).toMatch(new RegExp(`^infrasage: .*is not a number of ${unit}; .*\n$`));
    }
  });
});

/** Gives all quotas and alerts that were set so far an earlier date. */
async function setBack(box: Sandbox, date: string): Promise<void> {
  await box.session(async (sql) => {
    const set = (table: string, columns: string[]) =>
      sql(`ALTER TABLE {{db}}.${table} UPDATE ${columns.map((column) => `${column} = '${date} 00:00:00'`)}
        WHERE true SETTINGS mutations_sync = 2`);
    await set('infrasage_quotas', ['changed_at']);
    await set('infrasage_alert_thresholds', ['created_at', 'changed_at']);
  });
}

test('where something is set for a tenant that has never sent events, that is said, and it is done', () =>
  withStore(async (box) => {
    await box.run(['ingest'], { stdin: lines(event({ tenant_id: 'acme-corp' })) });
    await box.run(['plans', 'apply', fileURLToPath(new URL('../examples/plan.yaml', import.meta.url))]);
    for (const line of ['quota set 100', 'alerts add 70', 'keys create', 'plans assign standard']) {
      const { status, stderr } = await box.run([...line.split(' '), '--tenant', 'acme-crop']);
      expect(status, line).toBe(0);
      expect(stderr, line).toContain('acme-crop has never sent events; did you mean acme-corp?\n');
    }
    await box.run(['quota', 'unset', '--tenant', 'acme-crop']);
    expect((await box.run(['usage', '--tenant', 'acme-crop'])).stdout).not.toContain('quota set');
  }));

test('numbers beyond 2^53 are exact in every format', () =>
  withStore(async (box) => {
    const EVENTS_ = '9007199254740993';
    const BYTES = '18446744073709551615';
    await box.sql(`INSERT INTO {{db}}.infrasage_usage_metering
      (tenant_id, hour, event_type, event_count, bytes_ingested, bytes_received, batch_id, ingested_at)
      VALUES ('acme-corp', '2024-02-28 10:00:00', 'metric', ${EVENTS_}, ${BYTES}, ${BYTES}, '', now64(3))`);
    await box.json(['quota', 'set', BYTES]);
    await setBack(box, '2024-02-10');
    const usage = ['usage', ...ALL];
    const billing = ['billing', '--month', '2024-02'];
    const out = async (args: string[]) => (await box.run(args)).stdout;
    for (const args of [usage, billing]) {
      const json = await out([...args, '--json']);
      expect(json).toContain(`"total_events": ${EVENTS_}`);
      expect(json).toContain(`"total_bytes": ${BYTES}`);
      expect(json).toContain(`"events": ${EVENTS_},`);
    }
    expect(await out([...usage, '--format', 'ndjson'])).toContain(`"events":${EVENTS_},"bytes":${BYTES}`);
    expect(await out([...usage, '--format', 'csv'])).toContain(`metric,${EVENTS_},${BYTES}\n`);
    expect(await out([...usage, '--format', 'markdown'])).toContain(`| ${EVENTS_} | ${BYTES} |`);
    expect(await out(usage)).toMatch(/metric +9,007,199,254,740,993 +16\.00 EiB\n/);
    const bill = await out([...billing, '--json']);
    expect(bill).toContain(`"quota_events": ${BYTES}`);
    expect(bill).toContain('"quota_used_percent": 0.04');
    expect(bill).toContain('"millions_of_events": 9007199254.74');
    expect(bill).toContain(`"projected_events": ${EVENTS_}`);
    expect(await out(['tenants', '--json'])).toContain(`"bytes_received": ${BYTES}`);
    expect(await out(['quota', 'show', '--json'])).toContain(`"monthly_events": ${BYTES}`);
  }));

describe('reports on the present', () => {
  const HOUR = 3_600_000;
  let box: Sandbox;
  let started: Date;
  /** Events by how many hours ago. */
  const AGO: readonly [hours: number, type: string, count: number][] = [
    [0, 'metric', 5],
    [2, 'log', 4],
    [26, 'trace', 3],
    [24 * 9, 'event', 2],
    [-23, 'slo', 1],
  ];

  beforeAll(async () => {
    box = sandbox({ initialised: true });
    started = new Date();
    const input = AGO.flatMap(([hours, event_type, count]) =>
      Array.from({ length: count }, () =>
        event({ event_type, timestamp: new Date(started.getTime() - hours * HOUR).toISOString() }),
      ),
    );
    await box.json(['ingest'], {
      stdin: lines(...input, event({ tenant_id: 'globex', timestamp: started.toISOString() })),
    });
    await box.sql(`INSERT INTO {{db}}.infrasage_usage_metering
      (tenant_id, hour, event_type, event_count, bytes_ingested, bytes_received, batch_id, ingested_at)
      VALUES ('acme-corp', toStartOfHour(now('UTC')), 'profile', 1234567, 7654321, 99999999, '', now64(3))`);
  });
  afterAll(() => box.remove());

  const types = async (...args: string[]) =>
    (await box.json<UsageJson>([...args, '--tenant', 'acme-corp'])).breakdown.map((row) => row.event_type);

  test('--since as a span, up to now and ahead of the clock; --until ends it', async () => {
    expect(await types('usage')).toEqual(['profile', 'metric', 'log', 'slo']);
    expect(await types('usage', '--since', '24h')).toEqual(['profile', 'metric', 'log', 'slo']);
    expect(await types('usage', '--since', '7d')).toEqual(['profile', 'metric', 'log', 'trace', 'slo']);
    expect(await types('usage', '--since', '2w')).toEqual([
      'profile',
      'metric',
      'log',
      'trace',
      'event',
      'slo',
    ]);
    expect(await types('usage', '--since', '2w', '--until', '90m')).toEqual(['log', 'trace', 'event']);
    expect(await types('usage', '--since', '2w', '--until', '24h')).toEqual(['trace', 'event']);
  });

  test('the title has the hours in effect, and a short period says what it leaves out', async () => {
    const now = new Date('2026-02-03T05:17:00Z');
    const shown = async (...args: string[]) => (await box.run(['usage', ...args], { now })).stdout;
    const short = await shown('--since', '10m');
    expect(short).toMatch(/^Usage of all tenants since 2026-02-03T06:00:00Z\n/);
    expect(short).toContain('metered by the hour');
    expect(short).toContain('--since 2026-02-03T05:00:00Z');
    const day = await shown('--since', '24h', '--until', 'now');
    expect(day).toMatch(/^Usage of all tenants, 2026-02-02T06:00:00Z to 2026-02-03T06:00:00Z\n/);
    expect(day).not.toContain('metered by the hour');
    expect(await shown('--since', '2026-02-03T05:00:00Z')).not.toContain('metered by the hour');
    expect((await box.json<UsageJson>(['usage', '--since', '10m'], { now })).period.start).toBe(
      '2026-02-03T05:07:00Z',
    );
  });

  test('a tenant that has never sent events is told from a quiet one', async () => {
    const said = async (tenant: string, ...args: string[]) =>
      (await box.run([...args, '--tenant', tenant])).stderr;
    const usage = ['usage', '--since', '2001-01-01', '--until', '2001-01-02'];
    expect(await said('acme', ...usage)).toBe('acme has never sent events; did you mean acme-corp?\n');
    expect(await said('amce-corp', 'billing', '--month')).toContain('did you mean acme-corp?');
    expect(await said('acme-crop', 'services')).toContain('did you mean acme-corp?');
    expect(await said('zzz', 'report', '--month', '--html', '-')).toBe(
      'zzz has never sent events; infrasage tenants lists those that have\n',
    );
    expect(await said('acme-corp', ...usage)).toBe('');
  });

  test('the period says when it starts and ends', async () => {
    const before = new Date();
    const { period } = await box.json<UsageJson>(['usage', '--since', '24h']);
    const end = new Date(period.end);
    expect(end.getTime()).toBeGreaterThanOrEqual(before.getTime());
    expect(end.getTime()).toBeLessThanOrEqual(Date.now());
    expect(end.getTime() - new Date(period.start).getTime()).toBe(24 * HOUR);
  });

  test('billing --month is the current month, still open', async () => {
    const before = new Date();
    const found = await box.json<BillingJson>(['billing', '--month', '--tenant', 'acme-corp']);
    const after = new Date();
    expect([before, after].map((time) => time.toISOString().slice(0, 7))).toContain(found.month);
    const { total_events = 0, projected_events = 0 } = found;
    const metered = await box.sql<{ events: number }>(
      `SELECT sum(event_count) AS events FROM {{db}}.infrasage_usage_metering
      WHERE tenant_id = 'acme-corp' AND formatDateTime(hour, '%Y-%m') = '${found.month}'`,
    );
    expect(total_events).toBe(metered[0]?.events);
    // At the pace so far, within the time that the command may have run at.
    const start = new Date(found.period.start).getTime();
    const whole = new Date(found.period.end).getTime() - start;
    expect(projected_events).toBeLessThanOrEqual(
      Math.ceil((total_events * whole) / (before.getTime() - start)),
    );
    expect(projected_events).toBeGreaterThanOrEqual(
      Math.floor((total_events * whole) / (after.getTime() - start)),
    );
    const { stdout } = await box.run(['billing', '--month']);
    expect(stdout).toMatch(/^Bill of all tenants, \d{4}-\d\d \(UTC\), still open\n/);
    expect(stdout).toMatch(/Projected for the whole month at this pace: [\d,]+ events\n/);
    const ahead = await box.run(['billing', '--month', '2100-01']);
    expect(ahead.stdout).toMatch(
      /^Bill of all tenants, 2100-01 \(UTC\), not begun yet\n\nNo events in this month\.\n/,
    );
    expect(ahead.stdout).not.toContain('Projected');
  });

  test('the SQL of the documentation, in a plain session, gives the same figures', async () => {
    const usage = await box.json<UsageJson>(['usage', '--since', '24h', '--tenant', 'acme-corp']);
    const billing = await box.json<BillingJson>(['billing', '--month', '--tenant', 'acme-corp']);
    const services = await box.json<UsageJson>([
      'services',
      '--since',
      '7d',
      '--limit',
      '20',
      '--tenant',
      'acme-corp',
    ]);
    await box.session(async (ask) => {
      // As it is written, but for the name of the database.
      const sql: Ask = (statement) => ask(statement.replaceAll('infrasage.infrasage_', '{{db}}.infrasage_'));
      const day = await sql<{ event_type: string; total_events: number; total_bytes: string }>(
        "SELECT event_type, sum(event_count) AS total_events, formatReadableSize(sum(bytes_ingested)) AS total_bytes FROM infrasage.infrasage_usage_metering WHERE tenant_id = 'acme-corp' AND hour > now() - INTERVAL 24 HOUR GROUP BY event_type ORDER BY total_events DESC",
      );
      const sizes = usage.breakdown.map(({ bytes }, i) => `formatReadableSize(${bytes}) AS s${i}`);
      const [size] = await sql<Record<string, string>>(`SELECT ${sizes.join(', ')}`);
      expect(day).toEqual(
        usage.breakdown.map(({ event_type, events }, i) => ({
          event_type,
          total_events: events,
          total_bytes: size?.[`s${i}`],
        })),
      );
      expect(day.length).toBe(4);

      const month = await sql<{
        event_type: string;
        total_events: number;
        millions_of_events: number;
        bytes: number;
      }>(
        "SELECT event_type, sum(event_count) AS total_events, round(sum(event_count) / 1000000, 2) AS millions_of_events, sum(bytes_ingested) AS bytes FROM infrasage.infrasage_usage_metering WHERE tenant_id = 'acme-corp' AND hour >= toStartOfMonth(now()) GROUP BY event_type ORDER BY total_events DESC",
      );
      const inMonth = (billing.by_type ?? []).map(({ event_type, events, bytes }) => ({
        event_type,
        events,
        bytes,
      }));
      // Events ahead of the clock may lie in the next month, which has no end in that statement.
      const ahead = new Date(started.getTime() + 23 * HOUR).toISOString().slice(0, 7) !== billing.month;
      expect(
        month
          .filter(({ event_type }) => !(ahead && event_type === 'slo'))
          .map(({ event_type, total_events, bytes }) => ({ event_type, events: total_events, bytes })),
      ).toEqual(inMonth);
      expect(month[0]?.millions_of_events).toBe(1.23);
      expect(billing.millions_of_events).toBe(1.23);

      const busiest = await sql<{ service_id: string; events: number }>(
        "SELECT service_id, count() AS events FROM infrasage.infrasage_raw_firehose WHERE tenant_id = 'acme-corp' AND timestamp > now() - INTERVAL 7 DAY GROUP BY service_id ORDER BY events DESC LIMIT 20",
      );
      expect(busiest).toEqual(services.breakdown.map(({ service_id, events }) => ({ service_id, events })));
      expect(busiest).toEqual([{ service_id: 'checkout-api', events: 13 }]);
    });
  });
});
