import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { Validator } from '@seriousme/openapi-schema-validator';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { App } from '../src/http/app.ts';
import { DASHBOARD_PATHS } from '../src/http/routes/dashboard.ts';
import type { Store } from '../src/store/store.ts';
import { as, NOW, server } from './helpers/api.ts';
import { type Sandbox, sandbox, until } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { parseCsv } from './helpers/formats.ts';

const BREAKDOWN = '/api/v1/usage/breakdown';
const PERIOD = 'since=2024-02-28T00:00:00Z&until=2024-03-03T00:00:00Z';
const GROUPINGS = ['event_type', 'service_id', 'hour', 'day', 'month', 'tenant_id'];
/** Hand-made events of one tenant: service, type, time, how many. */
const EVENTS = [
  ['checkout-api', 'metric', '2024-02-28T10:15:30.250Z', 3],
  ['checkout-api', 'log', '2024-02-28T10:59:59.999Z', 2],
  ['=1+1', 'metric', '2024-02-28T11:00:00Z', 1],
  ['payment-api', 'trace', '2024-02-29T23:59:59.999Z', 1],
  ['\u202eevil\u2066', 'metric', '2024-03-02T00:00:00Z', 2],
  ['search-api', 'metric', '2024-03-03T00:00:00Z', 2],
] as const;

interface UsageJson {
  period: { start: string; end: string };
  breakdown: Record<string, string | number>[];
  total_events: number;
  total_bytes: number;
  next_cursor?: string;
}

let box: Sandbox;
let store: Store;
let app: App;
/** What the commands print, by their arguments. */
const printed: Record<string, UsageJson> = {};
let bill: Record<string, unknown>;

beforeAll(async () => {
  box = sandbox({ initialised: true });
  const events = EVENTS.flatMap(([service_id, event_type, timestamp, count]) =>
    Array<string>(count).fill(event({ service_id, event_type, timestamp })),
  );
  const stdin = lines(...events, event({ tenant_id: 'globex', timestamp: '2024-02-28T10:00:00Z' }));
  expect((await box.run(['ingest'], { stdin })).status).toBe(0);
  const [, since = '', until = ''] = /since=(.*)&until=(.*)/.exec(PERIOD) ?? [];
  for (const by of GROUPINGS) {
    const of = by === 'tenant_id' ? [] : ['--tenant', 'acme-corp'];
    printed[by] = await box.json(['usage', '--since', since, '--until', until, '--by', by, ...of]);
  }
  bill = await box.json(['billing', '--month', '2024-02', '--tenant', 'acme-corp']);
  store = await box.openStore();
  ({ app } = await server(store));
  await app.ready();
});
afterAll(async () => {
  await app.close();
  await store.close();
  await box.remove();
});

const get = async (url: string, headers: Record<string, string> = {}) =>
  app.inject({ url, headers: { ...(await as('super-admin')), ...headers } });

describe('usage', () => {
  test.each(GROUPINGS)('by %s is what the command says, in the documented shape', async (by) => {
    const answer = await get(`${BREAKDOWN}?${PERIOD}&group_by=${by}`);
    const { period, breakdown, total_events, total_bytes } = printed[by] ?? {};
    expect(answer.json()).toEqual({ period, breakdown, total_events, total_bytes });
    expect(period).toEqual({ start: '2024-02-28T00:00:00Z', end: '2024-03-03T00:00:00Z' });
  });

  test('the summary of a month is what the command says', async () => {
    const { projected_events, ...rest } = bill;
    const answer = await get('/api/v1/usage/summary?month=2024-02');
    expect(answer.json()).toMatchObject(rest);
    expect(Object.keys(answer.json()).sort()).toEqual(Object.keys(bill).sort());
    expect(projected_events).toBe(7);
  });

  test('without parameters: the last day by type', async () => {
    expect((await get(BREAKDOWN)).json()).toEqual({
      period: { start: '2024-03-04T12:00:00Z', end: '2024-03-05T12:00:00Z' },
      breakdown: [],
      total_events: 0,
      total_bytes: 0,
    });
    expect((await get('/api/v1/usage/summary')).json()).toMatchObject({ month: '2024-03', total_events: 4 });
  });

  test('as of a time before they came, there are no events; a span is refused, since pages would differ', async () => {
    const asOf = 'as_of=2024-02-28T00:00:00Z';
    expect((await get(`${BREAKDOWN}?${PERIOD}&${asOf}`)).json()).toMatchObject({
      ...{ as_of: '2024-02-28T00:00:00Z', breakdown: [], total_events: 0 },
    });
    expect((await get(`/api/v1/usage/summary?month=2024-02&${asOf}`)).json()).toMatchObject({
      ...{ as_of: '2024-02-28T00:00:00Z', total_events: 0 },
    });
    for (const wrong of ['7d', '2999-01-01'])
      expect((await get(`${BREAKDOWN}?${PERIOD}&as_of=${wrong}`)).statusCode).toBe(400);
  });

  test.each(['service_id', 'hour'])('pages by %s hold every row once, each with the totals', async (by) => {
    const whole: UsageJson = (await get(`${BREAKDOWN}?${PERIOD}&group_by=${by}`)).json();
    const rows = [];
    let url: string | undefined = `${BREAKDOWN}?${PERIOD}&group_by=${by}&limit=1`;
    while (url !== undefined) {
      const answer = await get(url);
      const page: UsageJson = answer.json();
      expect(page).toMatchObject({ total_events: whole.total_events, total_bytes: whole.total_bytes });
      expect(page.breakdown).toHaveLength(1);
      rows.push(...page.breakdown);
      url = /^<(.*)>; rel="next"$/.exec(String(answer.headers.link ?? ''))?.[1];
      if (url !== undefined) expect(url).toContain(page.next_cursor);
      else expect(page).not.toHaveProperty('next_cursor');
    }
    expect(rows).toEqual(whole.breakdown);
  });

  test('a period that was asked for as a span stays the same from page to page', async () => {
    let now = NOW;
    const { app: moving } = await server(store, { now: () => now });
    const headers = await as('viewer');
    const url = `${BREAKDOWN}?since=7d&group_by=service_id&limit=1`;
    const first: UsageJson = (await moving.inject({ url, headers })).json();
    now = new Date(NOW.getTime() + 600_000);
    const second: UsageJson = (
      await moving.inject({ url: `${url}&cursor=${first.next_cursor}`, headers })
    ).json();
    expect(second.period).toEqual(first.period);
    await moving.close();
  });

  test('as CSV, with no cell that a spreadsheet would run', async () => {
    const url = `${BREAKDOWN}?${PERIOD}&group_by=service_id`;
    const answer = await get(url, { accept: 'text/html, text/csv;q=0.9, */*;q=0.8' });
    expect(answer.headers).toMatchObject({ 'content-type': 'text/csv; charset=utf-8', vary: 'accept' });
    const [header, ...rows] = parseCsv(answer.body);
    expect(header).toEqual(['service_id', 'events', 'bytes']);
    expect(rows.map(([service]) => service)).toEqual(['checkout-api', 'evil', "'=1+1", 'payment-api']);
    for (const accept of ['*/*', 'application/json, text/csv;q=0.5', 'text/csv;q=0', '']) {
      expect((await get(url, { accept })).headers['content-type']).toMatch(/^application\/json/);
    }
  });

  test('ids come as they are, and cannot act on a terminal', async () => {
    const { body } = await get(`${BREAKDOWN}?${PERIOD}&group_by=service_id`);
    expect(body).toContain('\\u202eevil\\u2066');
    expect(body).not.toMatch(/[\u202e\u2066]/);
  });

  test.each([
    ['since=yesterday', /^since yesterday is not a time/],
    ['since=2024-02-30', /^since 2024-02-30 is not a time/],
    ['since=2024-03-02&until=2024-03-01', /^since 2024-03-02 is not before until 2024-03-01/],
    ['since=2025-01-01', /^since 2025-01-01 is not before now/],
    ['group_by=color', /^the querystring/],
    ['limit=0', /^the querystring/],
    ['limit=10001', /^the querystring/],
    ['limit=', /^the querystring/],
    ['since=1h&since=2h', /^the querystring/],
    ['tenant=globex', /^the querystring/],
    ['tenant_id=', /^the querystring/],
    [`cursor=${'x'.repeat(5_000)}`, /^the querystring/],
  ])('%s is refused', async (query, words) => {
    const answer = await get(`${BREAKDOWN}?${query}`);
    expect(answer.json()).toMatchObject({ title: 'Bad Request', status: 400 });
    expect(answer.json().detail).toMatch(words);
  });
});

describe('alerts and quotas', () => {
  const send = async (method: 'POST' | 'PUT' | 'DELETE', path: string, payload?: object | string) =>
    app.inject({
      method,
      url: `/api/v1/usage/${path}`,
      headers: {
        ...(await as('admin')),
        // As `curl -d` sends it.
        ...(typeof payload === 'string' ? { 'content-type': 'application/x-www-form-urlencoded' } : {}),
      },
      ...(payload === undefined ? {} : { payload }),
    });

  test('the documented alert, once more, listed, and removed', async () => {
    const body = '{"threshold_percent": 80, "notify_email": "billing@mycompany.com", "notify_slack": true}';
    const added = await send('POST', 'alerts', body);
    expect(added.statusCode).toBe(201);
    const alert = added.json();
    expect(alert).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{12}$/),
      tenant_id: 'acme-corp',
      threshold_percent: 80,
      notify_email: 'billing@mycompany.com',
      notify_slack: true,
      notify_webhook: null,
    });
    const again = await send('POST', 'alerts', { threshold_percent: 80 });
    expect(again.statusCode).toBe(200);
    // What is not given stays as it is; null and false take it away.
    expect(again.json()).toEqual(alert);
    const silent = await send('POST', 'alerts', { threshold_percent: 80, notify_email: null });
    expect(silent.json()).toEqual({ ...alert, notify_email: null });
    const none = await send('POST', 'alerts', { threshold_percent: 80, notify_slack: false });
    expect(none.json()).toEqual({ ...alert, notify_email: null, notify_slack: false });
    const silence = await send('POST', 'alerts', { silent_seconds: 7_200, service_id: 'payment-api' });
    expect(silence.json()).toMatchObject({ silent_seconds: 7_200, service_id: 'payment-api' });

    const listed = (await get('/api/v1/usage/alerts')).json();
    expect(listed).toEqual({ alerts: [none.json(), silence.json()] });
    expect((await send('DELETE', 'alerts/80')).json()).toEqual(none.json());
    expect((await send('DELETE', `alerts/${silence.json().id}`)).statusCode).toBe(200);
    expect((await get('/api/v1/usage/alerts')).json()).toEqual({ alerts: [] });
    expect((await send('DELETE', 'alerts/80')).statusCode).toBe(404);
  });

  test.each([
    ['{}', 'give either threshold_percent or silent_seconds'],
    ['{"threshold_percent":80,"silent_seconds":60}', 'give either threshold_percent or silent_seconds'],
    ['{"threshold_percent":80,"service_id":"x"}', 'service_id needs silent_seconds'],
    ['{"threshold_percent":0.5}', 'Too small'],
    ['{"threshold_percent":1001}', 'Too big'],
    ['{"threshold_percent":80.123}', 'multiple'],
    ['{"threshold_percent":"80"}', 'expected number'],
    ['{"threshold_percent":80,"notify_email":"nobody"}', 'must be an e-mail address'],
    ['{"threshold_percent":80,"tenant_id":"globex"}', 'Unrecognized key'],
    ['{"threshold_percent":80,"__proto__":{"notify_slack":true}}', 'Unrecognized key'],
    ['{"threshold_percent":80,"notify_webhook":"http://acme.example"}', 'https URL'],
    ['{"threshold_percent":80,"notify_webhook":"https://127.0.0.1/"}', 'private address'],
    ['{"threshold_percent":80,"threshold_percent":90}', 'twice'],
    ['{"threshold_percent":80', 'not JSON'],
    ['threshold_percent=80', 'not JSON'],
    ['[]', 'expected object'],
    ['null', 'expected object'],
    ['', ''],
  ])('the alert %s is refused', async (body, words) => {
    const answer = await send('POST', 'alerts', body);
    expect(answer.json()).toMatchObject({ status: 400 });
    expect(answer.body).toContain(words);
    expect((await get('/api/v1/usage/alerts')).json()).toEqual({ alerts: [] });
  });

  test('a quota is exact to 64 bits, kept where it is not given, and removed', async () => {
    const quota = async () => (await get('/api/v1/usage/quota')).body.trimEnd();
    expect(await quota()).toBe('{"tenant_id":"acme-corp","monthly_events":null,"monthly_bytes":null}');
    await send('PUT', 'quota', '{"monthly_events":18446744073709551615}');
    await send('PUT', 'quota', '{"monthly_bytes":1000}');
    const both = '{"tenant_id":"acme-corp","monthly_events":18446744073709551615,"monthly_bytes":1000}';
    expect(await quota()).toBe(both);
    for (const body of [
      '{}',
      '{"monthly_events":0}',
      '{"monthly_events":1.5}',
      '{"monthly_bytes":18446744073709551616}',
    ]) {
      expect((await send('PUT', 'quota', body)).statusCode).toBe(400);
    }
    const text = (await send('PUT', 'quota', '{"monthly_events":"100"}')).json();
    expect(text).toMatchObject({ status: 400, errors: [{ message: 'must be a whole number' }] });
    expect(await quota()).toBe(both);
    expect((await send('DELETE', 'quota')).json()).toMatchObject({ monthly_events: null });
  });
});

describe('errors', () => {
  test('are problem details with the id of the request, as in its header and in the log', async () => {
    const { app: logged, log } = await server(store);
    const answer = await logged.inject({ url: '/nowhere?secret=1' });
    const id = answer.headers['x-request-id'];
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(answer.json()).toEqual({
      type: 'about:blank',
      title: 'Not Found',
      status: 404,
      detail: 'there is nothing here',
      request_id: id,
    });
    await until(() => log().includes(`"reqId":"${id}"`));
    expect(log()).not.toContain('secret');
    await logged.close();
  });

  test('of the store say nothing of it to the caller, and everything to the log', async () => {
    const broken: Store = Object.create(store, {
      query: { value: () => store.query('SELECT nothing FROM nowhere.infrasage_x', {} as never) },
    });
    const { app: failing, log } = await server(broken);
    const answer = await failing.inject({ url: BREAKDOWN, headers: await as('viewer') });
    expect(answer.json()).toMatchObject({
      status: 503,
      detail: 'the server cannot answer now; try again in a moment',
    });
    expect(answer.body).not.toMatch(/nowhere|SELECT|engine/);
    await until(() => log().includes('nowhere'));
    expect((await failing.inject('/readyz')).statusCode).toBe(503);
    expect((await failing.inject('/healthz')).statusCode).toBe(200);
    await failing.close();
  });

  test.each([
    ['a body of another type', { 'content-type': 'text/xml' }, '<x/>', 415],
    ['a body too large', { 'content-type': 'application/json' }, `"${'x'.repeat(1024 * 1024)}"`, 413],
    [
      'a body that is not UTF-8',
      { 'content-type': 'application/json' },
      Buffer.from([0x22, 0xff, 0x22]),
      400,
    ],
  ])('%s', async (_, headers, payload, status) => {
    const answer = await app.inject({
      method: 'POST',
      url: '/api/v1/usage/alerts',
      headers: { ...(await as('admin')), ...headers },
      payload,
    });
    expect(answer.json()).toMatchObject({ status });
  });

  test('too many requests of one caller; others are served', async () => {
    const { app: limited } = await server(store, { requestsPerMinute: 5 });
    const ask = async (headers: Record<string, string>) => limited.inject({ url: BREAKDOWN, headers });
    for (let i = 0; i < 5; i++) expect((await ask(await as('viewer'))).statusCode).toBe(200);
    const refused = await ask(await as('viewer'));
    expect(refused.json()).toMatchObject({ title: 'Too Many Requests', status: 429 });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect((await ask(await as('viewer', 'globex'))).statusCode).toBe(200);
    for (let i = 0; i < 5; i++) expect((await ask({ authorization: 'Bearer x' })).statusCode).toBe(401);
    const stranger = await ask({ authorization: 'Bearer x' });
    expect(stranger.statusCode).toBe(429);
    expect(Number(stranger.headers['retry-after'])).toBeGreaterThan(0);
    expect((await ask(await as('viewer', 'globex'))).statusCode).toBe(200);
    expect((await limited.inject('/healthz')).statusCode).toBe(200);
    await limited.close();
  });
});

test('the OpenAPI document is valid, and has every route', async () => {
  const document = (await app.inject('/openapi.json')).json();
  const { valid, errors } = await new Validator().validate(document);
  expect({ valid, errors }).toMatchObject({ valid: true });
  expect(document.openapi).toBe('3.1.0');
  const described = Object.entries<object>(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`),
  );
  const routes = [...app.paths].flatMap(([path, methods]) =>
    [...methods].filter((method) => method !== 'HEAD').map((method) => `${method} ${path}`),
  );
  const hidden = ['/openapi.json', ...DASHBOARD_PATHS].map((path) => `GET ${path}`);
  expect(described.sort()).toEqual(routes.filter((route) => !hidden.includes(route)).sort());
  const row = document.paths[BREAKDOWN].get.responses[200].content['application/json'].schema.properties;
  expect(row.total_events).toMatchObject({ type: 'integer' });
});

describe('on the wire', () => {
  let listening: App;
  let port: number;
  const sockets: Socket[] = [];

  beforeAll(async () => {
    ({ app: listening } = await server(store, { headerTime: 300, bodyTime: 300 }));
    await listening.listen({ host: '127.0.0.1', port: 0 });
    ({ port } = listening.server.address() as AddressInfo);
  });
  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    await listening.close();
  });

  /** Sends bytes; what comes back until the server closes the connection. */
  async function raw(...parts: (string | Buffer)[]): Promise<string> {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => {});
    for (const part of parts) socket.write(part);
    await once(socket, 'close');
    return Buffer.concat(chunks).toString();
  }

  /** Sends the rest of a request a byte at a time, for ever. */
  function drip(head: string): Promise<string> {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => {});
    socket.write(head);
    const timer = setInterval(() => socket.write('x'), 20);
    // Not by once(), which throws where a byte was on its way to a server that has hung up.
    return new Promise((resolve) => {
      socket.on('close', () => {
        clearInterval(timer);
        resolve(Buffer.concat(chunks).toString());
      });
    });
  }

  const status = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
  const problem = (answer: string) => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4));

  test.each([
    ['no HTTP', 'hello\r\n\r\n', 400],
    ['a space before a colon', 'GET /healthz HTTP/1.1\r\nhost : x\r\n\r\n', 400],
    [
      'two lengths',
      'POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx',
      400,
    ],
    [
      'a length and chunks',
      'POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['no host', 'GET /healthz HTTP/1.1\r\n\r\n', 400],
    ['a NUL in a header', 'GET /healthz HTTP/1.1\r\nhost: x\r\nx: \0\r\n\r\n', 400],
    ['a header too large', `GET /healthz HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ])('%s: %3$s, and others are served', async (_, request, expected) => {
    const answer = await raw(request);
    expect(status(answer)).toBe(expected);
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  });

  test('what cannot be read is answered as a problem too', async () => {
    const answer = await raw('hello\r\n\r\n');
    expect(answer).toContain('content-type: application/problem+json\r\n');
    expect(problem(answer)).toMatchObject({ status: 400, detail: 'the request cannot be read' });
  });

  test('an address that cannot be decoded, and one with an endless parameter', async () => {
    const base = `http://127.0.0.1:${port}`;
    for (const [path, expected] of [
      ['/api/v1/usage/alerts/%ff', 400],
      [`/api/v1/usage/alerts/${'x'.repeat(300)}`, 414],
    ] as const) {
      const answer = await fetch(base + path, { method: 'DELETE', headers: await as('admin') });
      expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      expect({ path, status: answer.status }).toEqual({ path, status: expected });
      expect(await answer.json()).toMatchObject({ request_id: answer.headers.get('x-request-id') });
    }
  });

  test('a header, and a body, that come a byte at a time are cut off, and others are served meanwhile', async () => {
    const { authorization } = await as('admin');
    const head = `POST /api/v1/usage/alerts HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\n`;
    const slow = [
      ...Array.from({ length: 20 }, () => drip('GET /healthz HTTP/1.1\r\nhost: x\r\nx: ')),
      ...Array.from({ length: 20 }, () =>
        drip(`${head}content-type: application/json\r\ncontent-length: 100000\r\n\r\n{`),
      ),
      drip('GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n'),
    ];
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);
    const answers = await Promise.all(slow);
    expect(answers.slice(0, 40).map(status)).toEqual(Array(40).fill(408));
    expect(problem(answers[20] ?? '')).toMatchObject({ status: 408 });
  });

  test('random bytes leave it serving', async () => {
    await Promise.all(Array.from({ length: 50 }, () => raw(randomBytes(2_000), '\r\n\r\n')));
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);
  });
});
