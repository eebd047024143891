import { randomBytes } from 'node:crypto';
import type { InjectOptions } from 'fastify';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createKey } from '../src/access/keys.ts';
import { ROLES, type Role } from '../src/access/roles.ts';
import { addAlert, removeAlert } from '../src/alerts/alerts.ts';
import { channels } from '../src/alerts/channels/index.ts';
import { channelSettings } from '../src/alerts/channels/settings.ts';
import { checkAlerts } from '../src/alerts/check.ts';
import { setQuota } from '../src/alerts/quotas.ts';
import type { App } from '../src/http/app.ts';
import { DASHBOARD_PATHS } from '../src/http/routes/dashboard.ts';
import type { Store } from '../src/store/store.ts';
import { as, NOW, server } from './helpers/api.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';

/** Who may use a route; `public`: everyone, also without a token. */
const PUBLIC = 'public';
const READERS: Role[] = ['viewer', 'operator', 'admin', 'super-admin'];
const SETTERS: Role[] = ['admin', 'super-admin'];

interface Case {
  roles: readonly Role[] | typeof PUBLIC;
  /** Whether it is about a tenant, which a super-admin may name. */
  ofTenant: boolean;
  /** The path of a request that works, where it is not the route's own. */
  path?: (tenant: string) => string;
  query?: string;
  body?: object;
  /** What an answer about a tenant holds, where it does not name it. */
  shows?: Record<string, string>;
  /** The answer of one who may; 200 or 201 unless it is given. */
  status?: number;
  /** Whether an API key will do. */
  byKey?: true;
}

/** Who may send telemetry. */
const SENDERS: Role[] = ['operator', 'admin', 'super-admin', 'system'];

/** The files of the dashboard: they hold no data. */
const FILES = [
  '',
  ...['api', 'chart', 'dashboard', 'dom', 'format', 'panels', 'periods', 'quota', 'session'].map(
    (name) => `assets/${name}.js`,
  ),
  ...['dashboard.css', 'icon.svg', 'uPlot.esm.js', 'uPlot.min.css'].map((name) => `assets/${name}`),
];

/** Every route there is. A route without an entry fails the test below. */
const ROUTES: Record<string, Case> = {
  ...Object.fromEntries(FILES.map((file) => [`GET /${file}`, { roles: PUBLIC, ofTenant: false }])),
  'GET /healthz': { roles: PUBLIC, ofTenant: false },
  'GET /readyz': { roles: PUBLIC, ofTenant: false },
  'GET /openapi.json': { roles: PUBLIC, ofTenant: false },
  ...Object.fromEntries(
    DASHBOARD_PATHS.map((path) => [`GET ${path}`, { roles: PUBLIC, ofTenant: false } as const]),
  ),
  'GET /metrics': { roles: ['super-admin', 'system'], ofTenant: false },
  'GET /api/v1/usage/breakdown': { roles: READERS, ofTenant: true, query: 'since=90d&group_by=service_id' },
  'GET /api/v1/usage/series': {
    roles: READERS,
    ofTenant: true,
    query: 'since=90d&step=day',
    shows: { 'acme-corp': '"events":3,', globex: '"events":4,' },
  },
  'GET /api/v1/dlq/summary': { roles: READERS, ofTenant: true },
  'GET /api/v1/usage/summary': { roles: READERS, ofTenant: true, query: 'month=2024-03' },
  'GET /api/v1/billing': { roles: READERS, ofTenant: true, query: 'month=2024-03' },
  'GET /api/v1/costs': {
    ...{ roles: READERS, ofTenant: true },
    query: 'month=2024-03&storage_price=99999999&currency=EUR',
  },
  'GET /api/v1/usage/alerts': { roles: READERS, ofTenant: true },
  'POST /api/v1/usage/alerts': {
    roles: SETTERS,
    ofTenant: true,
    body: { threshold_percent: 50, notify_slack: true },
  },
  'DELETE /api/v1/usage/alerts/:id': {
    roles: SETTERS,
    ofTenant: true,
    path: (tenant) => `/api/v1/usage/alerts/${ALERTS[tenant]}`,
  },
  'GET /api/v1/usage/alerts/history': { roles: READERS, ofTenant: true },
  'GET /api/v1/usage/quota': { roles: READERS, ofTenant: true },
  'PUT /api/v1/usage/quota': { roles: SETTERS, ofTenant: true, body: { monthly_bytes: 5_000_000 } },
  'DELETE /api/v1/usage/quota': { roles: SETTERS, ofTenant: true },
  // An event that breaks a rule: nothing is stored that the other routes would show.
  'POST /api/v1/telemetry': { roles: SENDERS, ofTenant: false, body: {}, status: 422, byKey: true },
  'POST /api/v1/telemetry/batch': { roles: SENDERS, ofTenant: false, body: [{}], status: 422, byKey: true },
};

/** Where the default alerts are sent: no tenant's business. */
const OPERATOR = 'ops@operator.example';
const OWN = 'acme-corp';
const FOREIGN = 'globex';
/** The id of an alert of each tenant. */
const ALERTS: Record<string, string> = {};
/** What only answers about a tenant may hold. */
const MARKS: Record<string, readonly string[]> = {
  [OWN]: [OWN, 'acme-checkout', 'acme.example', '111111'],
  [FOREIGN]: [FOREIGN, 'globex-reactor', 'globex.example', '777777'],
};

let box: Sandbox;
let store: Store;
let app: App;
let apiKey: string;

beforeAll(async () => {
  box = sandbox({ initialised: true });
  const events = [
    ...Array.from({ length: 3 }, (_, i) => ({ tenant_id: OWN, service_id: `acme-checkout-${i}` })),
    ...Array.from({ length: 4 }, (_, i) => ({ tenant_id: FOREIGN, service_id: `globex-reactor-${i}` })),
  ];
  const { status } = await box.run(['ingest'], {
    stdin: lines(...events.map((fields) => event({ ...fields, timestamp: '2024-03-01T10:00:00Z' }))),
  });
  expect(status).toBe(0);
  store = await box.openStore();
  ({ app } = await server(store));
  await app.ready();
  ({ key: apiKey } = await createKey(store, { tenantId: OWN, name: '' }, { now: NOW, random: randomBytes }));
  // For both tenants, an alert of the operator's has fired.
  await setQuota(store, '', { events: 3n }, NOW);
  const standard = { kind: 'usage', percent: 50, tenantId: '', slack: false, webhook: null } as const;
  await addAlert(store, { ...standard, email: OPERATOR }, { now: NOW, newId: () => 'standard' });
  const { fired } = await checkAlerts(store, {
    now: () => NOW,
    channels: channels(channelSettings({})),
    random: () => 0,
  });
  expect(fired.map(({ tenantId }) => tenantId).sort()).toEqual([OWN, FOREIGN]);
});
afterAll(async () => {
  await app.close();
  await store.close();
  await box.remove();
});

/** The settings of both tenants as they were, whatever a request has changed. */
async function reset(): Promise<void> {
  for (const [tenant, events] of [
    [OWN, 111_111n],
    [FOREIGN, 777_777n],
  ] as const) {
    await setQuota(store, tenant, { events }, NOW);
    await removeAlert(store, { tenantId: tenant, idOrPercent: '50', now: NOW });
    const { alert } = await addAlert(
      store,
      {
        ...{ kind: 'usage', percent: 80, tenantId: tenant, slack: false },
        email: `billing@${MARKS[tenant]?.[2]}`,
        webhook: `https://hooks.${MARKS[tenant]?.[2]}/secret-path`,
      },
      { now: NOW, newId: () => randomBytes(6).toString('hex') },
    );
    ALERTS[tenant] = alert.id;
  }
}

const holds = (text: string, tenant: string, { shows }: Pick<Case, 'shows'> = {}) =>
  [...(MARKS[tenant] ?? []), ...(shows?.[tenant] ? [shows[tenant]] : [])].filter((mark) =>
    // A number counts as a whole one only: the digits of a measured time may hold any other.
    /^\d+$/.test(mark) ? new RegExp(`(?<![\\w.])${mark}(?![\\w.])`).test(text) : text.includes(mark),
  );

/** A request to a route, about a tenant where one is named. */
function request(route: string, { path, query, body }: Case, named?: string): InjectOptions {
  const [method, url = ''] = route.split(' ');
  const parameters = new URLSearchParams(query);
  if (named !== undefined) parameters.set('tenant_id', named);
  return {
    method: method as 'GET',
    url: `${path?.(named ?? OWN) ?? url}?${parameters}`,
    ...(body ? { payload: body } : {}),
  };
}

describe('every route', () => {
  test('has an entry here, and no entry is without a route', () => {
    const routes = [...app.paths].flatMap(([url, methods]) =>
      [...methods].filter((method) => method !== 'HEAD').map((method) => `${method} ${url}`),
    );
    expect(routes.sort()).toEqual(Object.keys(ROUTES).sort());
  });

  describe.each(Object.entries(ROUTES))('%s', (route, entry) => {
    const { roles, ofTenant, byKey: sends } = entry;
    const fine = entry.status === undefined ? [200, 201] : [entry.status];
    beforeAll(reset);
    beforeEach(async () => {
      if (!route.startsWith('GET ')) await reset();
    });

    test.each(ROLES)('as %s, for its own tenant', async (role) => {
      const answer = await app.inject({ ...request(route, entry), headers: await as(role) });
      const allowed = roles === PUBLIC || roles.includes(role);
      expect(fine.includes(answer.statusCode), answer.body).toBe(allowed);
      if (!allowed) expect(answer.json()).toMatchObject({ status: 403 });
      expect(holds(JSON.stringify(answer.headers) + answer.body, FOREIGN, entry)).toEqual([]);
      if (allowed && ofTenant) expect(holds(answer.body, OWN, entry)).not.toEqual([]);
      if (!ofTenant) expect(holds(answer.body, OWN)).toEqual([]);
      expect(answer.body).not.toContain(OPERATOR);
    });

    test.each(ROLES)('as %s, for another tenant', async (role) => {
      const answer = await app.inject({ ...request(route, entry, FOREIGN), headers: await as(role) });
      if (!ofTenant) {
        expect(holds(answer.body, FOREIGN)).toEqual([]);
        return;
      }
      const allowed = role === 'super-admin';
      expect(fine.includes(answer.statusCode), answer.body).toBe(allowed);
      if (!allowed) expect(answer.json()).toMatchObject({ status: 403 });
      const text = JSON.stringify(answer.headers) + answer.body;
      expect(holds(text, allowed ? OWN : FOREIGN, entry)).toEqual([]);
      if (allowed) expect(holds(answer.body, FOREIGN, entry)).not.toEqual([]);
    });

    test('without a token, and by an API key', async () => {
      const [without, byKey] = [{}, { 'x-api-key': apiKey }].map((headers) =>
        app.inject({ ...request(route, entry), headers }),
      );
      expect((await without)?.statusCode).toBe(roles === PUBLIC ? 200 : 401);
      expect((await byKey)?.statusCode).toBe(sends ? entry.status : roles === PUBLIC ? 200 : 403);
    });

    test('by a method that it does not take', async () => {
      const url = route.split(' ')[1] ?? '';
      const taken = app.paths.get(url);
      for (const method of ['PATCH', 'OPTIONS', 'POST', 'DELETE', 'GET'] as const) {
        if (taken?.has(method)) continue;
        const answer = await app.inject({ method, url, payload: '}{' });
        expect(answer.json()).toMatchObject({ status: 405 });
        expect(answer.headers.allow?.split(', ').sort()).toEqual([...(taken ?? [])].sort());
      }
    });
  });
});

describe('what belongs to another tenant', () => {
  test('is not found by its id, nor by what it shares with one’s own', async () => {
    await reset();
    for (const id of [ALERTS[FOREIGN], 'no-such-alert', '81']) {
      const answer = await app.inject({
        method: 'DELETE',
        url: `/api/v1/usage/alerts/${id}`,
        headers: await as('admin'),
      });
      expect(answer.json()).toMatchObject({ status: 404, detail: 'there is no such alert' });
    }
    const left = await app.inject({ url: '/api/v1/usage/alerts', headers: await as('viewer', FOREIGN) });
    expect(left.json().alerts).toHaveLength(1);
  });

  test('is not changed by a change of one’s own', async () => {
    await reset();
    const headers = await as('admin');
    await app.inject({ method: 'PUT', url: '/api/v1/usage/quota', headers, payload: { monthly_events: 5 } });
    await app.inject({ method: 'DELETE', url: '/api/v1/usage/alerts/80', headers });
    const [quota, alerts] = await Promise.all(
      ['quota', 'alerts'].map(async (what) =>
        app.inject({ url: `/api/v1/usage/${what}`, headers: await as('viewer', FOREIGN) }),
      ),
    );
    expect(quota?.json()).toMatchObject({ tenant_id: FOREIGN, monthly_events: 777_777 });
    expect(alerts?.json().alerts).toHaveLength(1);
  });

  test('is not asked for by grouping by tenant', async () => {
    const url = '/api/v1/usage/breakdown?since=90d&group_by=tenant_id';
    for (const role of ['viewer', 'operator', 'admin'] as const) {
      const answer = await app.inject({ url, headers: await as(role) });
      expect(answer.json()).toMatchObject({ status: 403 });
    }
    const all = await app.inject({ url, headers: await as('super-admin') });
    expect(all.json().breakdown).toMatchObject([
      { tenant_id: FOREIGN, events: 4 },
      { tenant_id: OWN, events: 3 },
    ]);
  });

  test('is not reached by a cursor', async () => {
    const url = '/api/v1/usage/breakdown?since=90d&group_by=service_id&limit=2';
    const page = async (tenant: string, cursor?: string, more = '', role: Role = 'viewer') =>
      app.inject({
        url: `${url}${cursor === undefined ? '' : `&cursor=${cursor}`}${more}`,
        headers: await as(role, tenant),
      });
    const first = (await page(FOREIGN)).json();
    const cursor: string = first.next_cursor;
    for (const part of cursor.split('.')) {
      expect(holds(Buffer.from(part, 'base64url').toString('latin1'), FOREIGN)).toEqual([]);
    }
    const second = (await page(FOREIGN, cursor)).json();
    expect([...first.breakdown, ...second.breakdown].map((row) => row.service_id).sort()).toEqual(
      [0, 1, 2, 3].map((i) => `globex-reactor-${i}`),
    );
    const refused = [
      await page(OWN, cursor),
      await page(OWN, cursor, '', 'super-admin'),
      await page(FOREIGN, cursor.slice(0, -3)),
      await page(FOREIGN, `${cursor.slice(0, -12)}AAAAAAAAAAAA`),
      await page(FOREIGN, 'x'),
      await page(FOREIGN, ''),
      await page(FOREIGN, cursor, '&until=2024-03-01'),
      // Sealed with another key.
      await (await server(store)).app.inject({
        url: `${url}&cursor=${cursor}`,
        headers: await as('viewer', FOREIGN),
      }),
    ];
    for (const answer of refused) {
      expect(answer.json()).toMatchObject({ status: 400 });
      expect(holds(answer.body, FOREIGN)).toEqual([]);
    }
    const named = await page(OWN, cursor, `&tenant_id=${FOREIGN}`, 'super-admin');
    expect(named.json().breakdown).toEqual(second.breakdown);
  });

  test('is not in the metrics', async () => {
    await app.inject({ url: `/${FOREIGN}/secret`, headers: await as('viewer', FOREIGN) });
    const { body } = await app.inject({ url: '/metrics', headers: await as('system') });
    expect(body).toContain('infrasage_http_requests_total{method="GET",route="none",status="404"}');
    expect(body).toMatch(/infrasage_table_rows\{table="infrasage_raw_firehose"\} 7/);
    expect([...holds(body, FOREIGN), ...holds(body, OWN)]).toEqual([]);
  });

  test('a webhook’s address is for those who may change it', async () => {
    await reset();
    const hooks = async (role: Role) =>
      (await app.inject({ url: '/api/v1/usage/alerts', headers: await as(role) })).json().alerts[0]
        .notify_webhook;
    expect(await hooks('admin')).toBe('https://hooks.acme.example/secret-path');
    expect(await hooks('viewer')).toBe('https://hooks.acme.example');
  });
});
