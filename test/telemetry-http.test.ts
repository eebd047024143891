import { randomBytes } from 'node:crypto';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text as textOf } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { Agent, fetch } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createKey, revokeKey } from '../src/access/keys.ts';
import type { Role } from '../src/access/roles.ts';
import type { App } from '../src/http/app.ts';
import { server, token } from './helpers/api.ts';
import { event, lines } from './helpers/events.ts';
import { type Desk, desk } from './helpers/telemetry.ts';

let at: Desk;
let app: App;
let origin: string;
/** Fewer connections than the server takes at all, however many requests. */
const dispatcher = new Agent({ connections: 200 });

beforeAll(async () => {
  at = await desk();
  ({ app } = await server(at.store, { bodyTime: 5_000, now: () => new Date() }));
  await app.listen({ port: 0 });
  origin = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  await at.clear();
});
afterAll(async () => {
  await dispatcher.close();
  await app.close();
  await at.remove();
});

async function as(role: Role, tenant = 'acme-corp'): Promise<{ authorization: string }> {
  const exp = Math.floor(Date.now() / 1000) + 3600;
  return { authorization: `Bearer ${await token({ role, tenant_id: tenant, exp })}` };
}

const ONE = '/api/v1/telemetry';
const BATCH = '/api/v1/telemetry/batch';
const NDJSON = { 'content-type': 'application/x-ndjson' };
const bad = event({ event_type: 'nonsense' });
const EVENTS = 'SELECT count() AS n FROM {{db}}.infrasage_raw_firehose';

async function post(
  path: string,
  body: string | Buffer | ReadableStream,
  {
    role = 'operator',
    tenant,
    ...headers
  }: { role?: Role; tenant?: string; [header: string]: string | undefined } = {},
) {
  const response = await fetch(origin + path, {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      ...(await as(role, tenant)),
      ...headers,
    } as Record<string, string>,
    duplex: 'half',
    dispatcher,
  });
  const { status } = response;
  return {
    status,
    type: response.headers.get('content-type')?.replace('; charset=utf-8', ''),
    retry: response.headers.get('retry-after'),
    body: await response.json(),
  };
}

describe('POST /api/v1/telemetry', () => {
  test('answers 200 when the event is stored, and 422 where it is rejected', async () => {
    expect(await post(ONE, event())).toMatchObject({
      status: 200,
      body: { status: 'ok', queued: 1, failed: 0, failures: [] },
    });
    expect(await post(ONE, bad)).toMatchObject({
      status: 422,
      type: 'application/json',
      body: {
        status: 'rejected',
        queued: 0,
        failed: 1,
        failures: [{ index: 0, error: 'invalid_event_type' }],
      },
    });
    expect(await at.number(EVENTS)).toBe(1);
  });

  test('takes an API key, and what curl -d sends without naming a type', async () => {
    const { key } = await createKey(
      at.store,
      { tenantId: 'globex', name: '' },
      { now: new Date(), random: randomBytes },
    );
    const response = await fetch(origin + ONE, {
      method: 'POST',
      body: event({ tenant_id: undefined }),
      headers: { 'x-api-key': key, 'content-type': 'application/x-www-form-urlencoded' },
    });
    expect(response.status).toBe(200);
    expect(await at.number(`${EVENTS} WHERE tenant_id = 'globex'`)).toBe(1);
  });

  test('a thousand at once are few batches', async () => {
    const answers = await Promise.all(Array.from({ length: 1_000 }, () => post(ONE, event())));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(await at.number(EVENTS)).toBe(1_000);
    expect(await at.number('SELECT count() AS n FROM {{db}}.infrasage_ingest_batches FINAL')).toBeLessThan(
      30,
    );
  });
});

describe('POST /api/v1/telemetry/batch', () => {
  test('takes an array and NDJSON, also compressed, and answers each record that is rejected', async () => {
    const answer = {
      status: 200,
      body: {
        status: 'partial',
        queued: 2,
        failed: 1,
        failures: [{ index: 1, error: 'invalid_event_type' }],
      },
    };
    const all = [event(), bad, event()];
    const gzip = { 'content-encoding': 'gzip' };
    expect(await post(BATCH, `[${all}]`)).toMatchObject(answer);
    expect(await post(BATCH, lines(...all), NDJSON)).toMatchObject(answer);
    expect(await post(BATCH, gzipSync(`[${all}]`), gzip)).toMatchObject(answer);
    expect(await post(BATCH, gzipSync(lines(...all)), { ...gzip, ...NDJSON })).toMatchObject(answer);
    expect(await at.number(EVENTS)).toBe(8);
  });

  test('takes a stream that is longer than any body may be', async () => {
    const line = Buffer.from(lines(...Array.from({ length: 1_000 }, () => event())));
    let left = 100;
    const body = new ReadableStream({
      pull(controller) {
        if (left-- > 0) controller.enqueue(line);
        else controller.close();
      },
    });
    expect(await post(BATCH, body, NDJSON)).toMatchObject({ status: 200, body: { queued: 100_000 } });
    expect(await at.number(EVENTS)).toBe(100_000);
  });

  test('stores nothing for another tenant, but for one who may name any', async () => {
    const theirs = `[${event({ tenant_id: 'globex' })},${event({ tenant_id: 'acme-corp' })}]`;
    for (const role of ['operator', 'admin', 'system'] as const) {
      expect(await post(BATCH, theirs, { role })).toMatchObject({
        body: { status: 'partial', failures: [{ index: 0, error: 'invalid_tenant_id' }] },
      });
    }
    expect(await at.number(`${EVENTS} WHERE tenant_id = 'globex'`)).toBe(0);
    expect(await post(BATCH, theirs, { role: 'super-admin' })).toMatchObject({
      body: { status: 'ok', queued: 2 },
    });
    expect(await at.number(`${EVENTS} WHERE tenant_id = 'globex'`)).toBe(1);
  });
});

test('a stream may take longer than another body', async () => {
  const slow = await start(BATCH, NDJSON, lines(...Array.from({ length: 40_000 }, () => event())));
  // What comes slowly is written a second after it came, which is as long as a body may take here.
  await expect.poll(() => at.number(EVENTS), { timeout: 30_000 }).toBeGreaterThan(10_000);
  slow.request.end(event());
  expect(await slow.status).toBe(200);
  expect(await at.number(EVENTS)).toBe(40_001);
});

test('a stream ends when its key is revoked, and its sender is told what is stored', async () => {
  const { key, kept } = await createKey(
    at.store,
    { tenantId: 'globex', name: '' },
    { now: new Date(), random: randomBytes },
  );
  const piece = lines(...Array.from({ length: 1_000 }, () => event({ tenant_id: undefined })));
  const stream = await start(BATCH, { ...NDJSON, 'x-api-key': key }, piece.repeat(40));
  await expect.poll(() => at.number(EVENTS), { timeout: 30_000 }).toBeGreaterThan(10_000);
  await revokeKey(at.store, { id: kept.id, tenantId: null, now: new Date() });
  const sending = setInterval(() => stream.request.write(piece), 50);
  const status = await stream.status;
  clearInterval(sending);
  expect(status).toBe(403);
  const stored = await at.number(EVENTS);
  expect(await stream.detail).toContain(
    `the API key was revoked meanwhile; ${stored} of its records are stored`,
  );
  stream.request.end();
});

test('the retry of a stream that is under way is answered with it, and its connection ends with its sender', async () => {
  const body = lines(...Array.from({ length: 1_000 }, () => event())).repeat(120);
  const headers = { ...(await as('operator')), ...NDJSON, 'idempotency-key': 'k' };
  const connections = promisify(app.server.getConnections.bind(app.server));
  const before = await connections();
  const own = new Agent({ connections: 2 });
  const twice = [1, 2].map(async () => {
    const answer = await fetch(origin + BATCH, { method: 'POST', body, headers, dispatcher: own });
    return answer.json();
  });
  const expected = expect.objectContaining({ queued: 120_000 });
  expect(await Promise.all(twice)).toEqual([expected, expected]);
  await own.close();
  await expect.poll(connections, { timeout: 5_000 }).toBeLessThanOrEqual(before);
  expect(await at.number(EVENTS)).toBe(120_000);
});

describe('is refused', () => {
  const bomb = () => gzipSync(Buffer.alloc(100_000_000, ' '));
  test.each<
    [what: string, status: number, path: string, body: () => string | Buffer, headers: Record<string, string>]
  >([
    ['a viewer', 403, ONE, event, { role: 'viewer' }],
    ['nobody', 401, ONE, event, { authorization: '' }],
    ['text', 415, ONE, event, { 'content-type': 'text/plain' }],
    ['NDJSON as a single record', 415, ONE, event, NDJSON],
    ['XML', 415, BATCH, event, { 'content-type': 'application/xml' }],
    ['brotli', 415, BATCH, event, { 'content-encoding': 'br' }],
    ['nothing', 400, ONE, () => '', {}],
    ['an object as an array', 400, BATCH, event, {}],
    ['an array without an end', 400, BATCH, () => `[${event()}`, {}],
    ['gzip that is none', 400, BATCH, () => `[${event()}]`, { 'content-encoding': 'gzip' }],
    [
      'gzip cut short',
      400,
      BATCH,
      () => gzipSync(`[${event()}]`).subarray(0, -9),
      { 'content-encoding': 'gzip' },
    ],
    ['a gzip bomb', 413, BATCH, bomb, { 'content-encoding': 'gzip' }],
    ['a gzip bomb of lines', 413, BATCH, bomb, { 'content-encoding': 'gzip', ...NDJSON }],
    ['more than 10,000 elements', 413, BATCH, () => `[${'0,'.repeat(10_000)}0]`, {}],
    ['a record without end', 413, ONE, () => Buffer.alloc(5_000_000, ' '), {}],
    ['an array of too many bytes', 413, BATCH, () => Buffer.alloc(33_000_000, ' '), {}],
    ['a key with a space at its end', 400, ONE, event, { 'idempotency-key': 'é' }],
    ['a key that is too long', 400, ONE, event, { 'idempotency-key': 'k'.repeat(256) }],
  ])('%s with %i', async (_, status, path, body, headers) => {
    const answer = await post(path, body(), headers);
    expect(answer).toMatchObject({ status, type: 'application/problem+json', body: { status } });
    expect(await at.number(EVENTS)).toBe(0);
    // The connection, or the next one, is good for more.
    expect(await post(ONE, event())).toMatchObject({ status: 200 });
  });

  test('a key that was used for another body', async () => {
    const headers = { 'idempotency-key': 'k' };
    expect(await post(ONE, event(), headers)).toMatchObject({ status: 200 });
    expect(await post(ONE, event(), headers)).toMatchObject({ status: 200 });
    expect(await post(ONE, bad, headers)).toMatchObject({ status: 422, type: 'application/problem+json' });
    expect(await post(ONE, event({ tenant_id: undefined }), { ...headers, tenant: 'globex' })).toMatchObject({
      status: 200,
    });
    expect(await at.number(EVENTS)).toBe(2);
  });

  test('a body that does not come to its end, with nothing kept', async () => {
    const slow = [await start(BATCH, {}, `[${event()}`), await start(BATCH, NDJSON, lines(event()))];
    expect(await Promise.all(slow.map(({ status }) => status))).toEqual([408, 408]);
    const gone = await start(BATCH, {}, `[${event()},`);
    gone.request.destroy();
    expect(await post(ONE, event())).toMatchObject({ status: 200 });
    expect(await at.number(EVENTS)).toBe(1);
  });

  test('a stream whose sender goes away, with whole lines kept', async () => {
    const many = lines(...Array.from({ length: 40_000 }, () => event()));
    const gone = await start(BATCH, NDJSON, many);
    await gone.drained;
    gone.request.destroy();
    await expect.poll(() => at.number(EVENTS), { timeout: 30_000 }).toBeGreaterThan(10_000);
  });
});

/** A request that is not ended. */
async function start(
  path: string,
  headers: Record<string, string>,
  body: string,
): Promise<{
  request: ClientRequest;
  status: Promise<number>;
  detail: Promise<string>;
  drained: Promise<void>;
}> {
  const request = httpRequest(origin + path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...('x-api-key' in headers ? {} : await as('operator')),
      ...headers,
    },
  });
  request.on('error', () => {});
  const response = new Promise<IncomingMessage>((resolve) => request.on('response', resolve));
  const text = response.then(textOf);
  const status = response.then(({ statusCode = 0 }) => statusCode);
  const detail = text.then((body) => JSON.parse(body).detail);
  // Whoever asks for it is told; most do not.
  detail.catch(() => {});
  const drained = new Promise<void>((resolve) => request.write(body, () => resolve()));
  return { request, status, detail, drained };
}
