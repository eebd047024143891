import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { App } from '../src/http/app.ts';
import { DASHBOARD_PATHS } from '../src/http/routes/dashboard.ts';
import type { Store } from '../src/store/store.ts';
import { as, server } from './helpers/api.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';

let box: Sandbox;
let store: Store;
let app: App;

const EVENTS = [
  ['metric', '2024-02-28T10:15:30.250Z', 3],
  ['metric', '2024-02-28T10:59:59.999Z', 1],
  ['log', '2024-02-28T10:00:00Z', 2],
  ['log', '2024-02-29T23:59:59.999Z', 1],
  ['trace', '2024-03-01T00:00:00Z', 4],
] as const;
const PERIOD = 'since=2024-02-28T00:00:00Z&until=2024-03-01T00:00:00Z';

beforeAll(async () => {
  box = sandbox({ initialised: true });
  const good = EVENTS.flatMap(([event_type, timestamp, count]) =>
    Array<string>(count).fill(event({ event_type, timestamp })),
  );
  const bad = [event({ value: 'much' }), event({ value: 'more' }), event({ event_type: 'none' })];
  const others = [event({ tenant_id: 'globex' }), event({ tenant_id: 'globex', value: [] }), '{', '[]', '[]'];
  await box.run(['ingest'], { stdin: lines(...good, ...bad, ...others) });
  store = await box.openStore();
  ({ app } = await server(store));
});
afterAll(async () => {
  await app.close();
  await store.close();
  await box.remove();
});

const get = async (url: string, role: 'viewer' | 'super-admin' = 'viewer') =>
  (await app.inject({ url, headers: await as(role) })).json();
/** A period that the lines were received in, whenever this runs. */
const RECEIVED = 'since=2024-01-01&until=2100-01-01';

describe('usage over time', () => {
  test('by hour and day, of the type and time; the sums are those of the breakdown', async () => {
    const hours = await get(`/api/v1/usage/series?${PERIOD}`);
    expect(hours).toMatchObject({
      tenant_id: 'acme-corp',
      period: { start: '2024-02-28T00:00:00Z', end: '2024-03-01T00:00:00Z' },
      step: 'hour',
      points: [
        { time: '2024-02-28T10:00:00Z', event_type: 'log', events: 2 },
        { time: '2024-02-28T10:00:00Z', event_type: 'metric', events: 4 },
        { time: '2024-02-29T23:00:00Z', event_type: 'log', events: 1 },
      ],
    });
    const days = await get(`/api/v1/usage/series?${PERIOD}&step=day`);
    expect(days.points.map(({ time, event_type }: Record<string, string>) => [time, event_type])).toEqual([
      ['2024-02-28', 'log'],
      ['2024-02-28', 'metric'],
      ['2024-02-29', 'log'],
    ]);
    const { total_events, total_bytes } = await get(`/api/v1/usage/breakdown?${PERIOD}`);
    for (const { points } of [hours, days]) {
      const sum = (key: string) =>
        points.reduce((all: number, point: Record<string, number>) => all + (point[key] ?? 0), 0);
      expect([sum('events'), sum('bytes')]).toEqual([total_events, total_bytes]);
    }
  });

  test('too many steps, an unknown step or parameter are refused', async () => {
    const year = '/api/v1/usage/series?since=2023-03-01&until=2024-03-01';
    expect(await get(year)).toMatchObject({ status: 400, detail: expect.stringContaining('2016 steps') });
    expect((await get(`${year}&step=day`)).points).toHaveLength(3);
    expect(await get('/api/v1/usage/series?step=week')).toMatchObject({ status: 400 });
    expect(await get('/api/v1/usage/series?tenant=globex')).toMatchObject({ status: 400 });
  });
});

describe('dead letters by cause', () => {
  test('of the caller’s tenant, most first', async () => {
    const found = await get(`/api/v1/dlq/summary?${RECEIVED}`);
    expect(found).toEqual({
      tenant_id: 'acme-corp',
      period: { start: '2024-01-01T00:00:00Z', end: '2100-01-01T00:00:00Z' },
      causes: [
        { error: 'invalid_value', lines: 2, last_received_at: expect.stringMatching(/^\d{4}-.*Z$/) },
        { error: 'invalid_event_type', lines: 1, last_received_at: expect.any(String) },
      ],
      total: 3,
    });
    expect(await get('/api/v1/dlq/summary?since=2024-01-01&until=2024-01-02')).toMatchObject({
      causes: [],
      total: 0,
    });
  });

  test('a super-admin sees those of no known tenant too, and names tenants', async () => {
    const found = await get(`/api/v1/dlq/summary?${RECEIVED}&tenant_id=globex`, 'super-admin');
    const causes = (of: { error: string; lines: number }[]) => of.map(({ error, lines }) => [error, lines]);
    expect(found).toMatchObject({ tenant_id: 'globex', total: 1 });
    expect(causes(found.causes)).toEqual([['invalid_value', 1]]);
    expect(causes(found.without_tenant)).toEqual([
      ['not_an_object', 2],
      ['invalid_json', 1],
    ]);
  });
});

describe('the dashboard’s files', () => {
  const TYPES: [RegExp, string][] = [
    [/^\/$/, 'text/html; charset=utf-8'],
    [/\.css$/, 'text/css; charset=utf-8'],
    [/\.js$/, 'text/javascript; charset=utf-8'],
    [/\.svg$/, 'image/svg+xml'],
  ];

  test.each(DASHBOARD_PATHS)('%s: its type, a strict policy, kept until it changes', async (path) => {
    const answer = await app.inject(path);
    expect(answer.statusCode).toBe(200);
    expect(answer.headers['content-type']).toBe(TYPES.find(([name]) => name.test(path))?.[1]);
    const policy = String(answer.headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
    expect(policy).toContain("require-trusted-types-for 'script'");
    expect(policy).not.toMatch(/unsafe|\*|https?:|data:/);
    expect(answer.headers['x-content-type-options']).toBe('nosniff');
    expect(answer.headers['cache-control']).toBe('no-cache');
    const again = await app.inject({ url: path, headers: { 'if-none-match': String(answer.headers.etag) } });
    expect([again.statusCode, again.body]).toEqual([304, '']);
    expect((await app.inject({ url: path, headers: { 'if-none-match': '"other"' } })).statusCode).toBe(200);
  });

  test('every file that a page or script names is served', () => {
    const folder = new URL('../src/dashboard/', import.meta.url);
    const named = DASHBOARD_PATHS.filter((path) => !path.includes('uPlot')).flatMap((path) => {
      const text = readFileSync(new URL(path === '/' ? 'index.html' : path.slice(8), folder), 'utf8');
      return [
        ...[...text.matchAll(/(?:src|href)="(\/[^"]*)"/g)].map(([, name]) => name),
        ...[...text.matchAll(/from '([^']+)'/g)].map(
          ([, name]) => new URL(name ?? '', 'x:/assets/').pathname,
        ),
      ];
    });
    expect(named.length).toBeGreaterThan(10);
    expect([...new Set(named)].filter((path) => !DASHBOARD_PATHS.includes(path ?? ''))).toEqual([]);
  });

  test.each([
    '/index.html',
    '/assets',
    '/assets/',
    '/assets/../../../package.json',
    '/assets/..%2f..%2fpackage.json',
    '/assets/%2e%2e/%2e%2e/package.json',
    '/assets//etc/passwd',
    '/assets/dashboard.js%00.css',
    '/assets/dashboard.js/',
    '/src/dashboard/index.html',
  ])('%s is nothing', async (path) => {
    const { statusCode } = await app.inject(path);
    expect([400, 404]).toContain(statusCode);
  });
});
