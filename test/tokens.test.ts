import { createHmac, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EncryptJWT, exportJWK } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createKey, revokeKey } from '../src/access/keys.ts';
import type { App } from '../src/http/app.ts';
import type { Store } from '../src/store/store.ts';
import { NOW, SECRET, server, token } from './helpers/api.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';

const SECONDS = NOW.getTime() / 1000;
const NAMES = { audience: 'infrasage', issuer: 'https://login.acme.example' };
const NAMED = { aud: NAMES.audience, iss: NAMES.issuer };
const PATH = '/api/v1/usage/breakdown';
const UNAUTHORIZED =
  '{"type":"about:blank","title":"Unauthorized","status":401,"detail":"a valid token or API key is needed"}';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const ed = generateKeyPairSync('ed25519');
const pem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString();

let box: Sandbox;
let store: Store;
const apps: App[] = [];
let app: App;
let log: () => string;
/** Verifies with the public key of rsa. */
let byKey: App;

beforeAll(async () => {
  box = sandbox({ initialised: true });
  store = await box.openStore();
  ({ app, log } = await server(store, { tokens: NAMES }));
  ({ app: byKey } = await server(store, {
    tokens: { ...NAMES, key: { kind: 'file', path: box.file('key.pem', pem(rsa.publicKey)) } },
  }));
  apps.push(app, byKey);
});
afterAll(async () => {
  for (const one of apps) await one.close();
  await store.close();
  await box.remove();
});

const get = (headers: Record<string, string | string[]>, to = app) =>
  to.inject({ method: 'GET', url: PATH, headers });
const bearer = (text: string) => ({ authorization: `Bearer ${text}` });
const encoded = (text: string) => Buffer.from(text).toString('base64url');

/** Signed as it stands, however odd: header and payload as JSON text. */
function signed(header: string, payload: string, secret = SECRET, hash = 'sha256'): string {
  const text = `${encoded(header)}.${encoded(payload)}`;
  return `${text}.${createHmac(hash, secret).update(text).digest('base64url')}`;
}

const CLAIMS = JSON.stringify({ tenant_id: 'acme-corp', role: 'viewer', exp: SECONDS + 60, ...NAMED });
const HS256 = '{"alg":"HS256"}';
const valid = () => token(NAMED);

/** What must be refused, by what is wrong with it. */
const HOSTILE: Record<string, () => Promise<Record<string, string | string[]>>> = {
  'no credentials': async () => ({}),
  'an empty token': async () => ({ authorization: 'Bearer ' }),
  'another scheme': async () => ({ authorization: `Basic ${await valid()}` }),
  'no scheme': async () => ({ authorization: await valid() }),
  garbage: async () => bearer('garbage'),
  dots: async () => bearer('..'),
  'not base64url': async () => bearer(`${(await valid()).replace('.', '+=.')}`),
  'text after it': async () => ({ authorization: `Bearer ${await valid()} x` }),
  'two of them in one': async () => ({ authorization: `Bearer ${await valid()}, Bearer ${await valid()}` }),
  'the wrong key': async () => bearer(await token(NAMED, { key: Buffer.from('x'.repeat(32)) })),
  'an empty key': async () => bearer(signed(HS256, CLAIMS, '')),
  'alg none': async () => bearer(`${encoded('{"alg":"none"}')}.${encoded(CLAIMS)}.`),
  'alg nOnE': async () => bearer(`${encoded('{"alg":"nOnE"}')}.${encoded(CLAIMS)}.`),
  'alg none with a signature': async () => bearer(signed('{"alg":"none"}', CLAIMS)),
  'no alg': async () => bearer(signed('{}', CLAIMS)),
  'alg a list': async () => bearer(signed('{"alg":["HS256"]}', CLAIMS)),
  'HS512 with the right secret': async () => bearer(signed('{"alg":"HS512"}', CLAIMS, SECRET, 'sha512')),
  'RS256 with a key of its own': async () =>
    bearer(await token(NAMED, { header: { alg: 'RS256' }, key: rsa.privateKey })),
  expired: async () => bearer(await token({ ...NAMED, exp: SECONDS - 1 })),
  'expiring now': async () => bearer(await token({ ...NAMED, exp: SECONDS })),
  'no exp': async () => bearer(await token({ ...NAMED, exp: undefined })),
  'exp as text': async () => bearer(signed(HS256, CLAIMS.replace(/"exp":(\d+)/, '"exp":"$1"'))),
  'exp beyond numbers': async () => bearer(signed(HS256, CLAIMS.replace(/"exp":\d+/, '"exp":1e999'))),
  'not yet valid': async () => bearer(await token({ ...NAMED, nbf: SECONDS + 60 })),
  'nbf as text': async () => bearer(signed(HS256, CLAIMS.replace('{', '{"nbf":"0",'))),
  'the wrong audience': async () => bearer(await token({ ...NAMED, aud: 'other' })),
  'no audience': async () => bearer(await token({ iss: NAMES.issuer })),
  'the wrong issuer': async () => bearer(await token({ ...NAMED, iss: 'https://login.evil.example' })),
  'no issuer': async () => bearer(await token({ aud: NAMES.audience })),
  'a header jku': async () =>
    bearer(await token(NAMED, { header: { jku: 'https://evil.example/jwks.json' } })),
  'a header jwk': async () => bearer(await token(NAMED, { header: { jwk: await exportJWK(rsa.publicKey) } })),
  'a header jwk whose key it is signed with': async () =>
    bearer(
      await token(NAMED, {
        header: { alg: 'RS256', jwk: await exportJWK(rsa.publicKey) },
        key: rsa.privateKey,
      }),
    ),
  'a header x5u': async () => bearer(await token(NAMED, { header: { x5u: 'https://evil.example/' } })),
  'a header x5c': async () => bearer(await token(NAMED, { header: { x5c: ['MIIB'] } })),
  'a header crit': async () => bearer(signed('{"alg":"HS256","crit":["exp"],"exp":1}', CLAIMS)),
  'a header b64': async () => bearer(signed('{"alg":"HS256","b64":true}', CLAIMS)),
  truncated: async () => bearer((await valid()).slice(0, -4)),
  'without its signature': async () => bearer((await valid()).replace(/\.[^.]*$/, '.')),
  'two parts': async () => bearer((await valid()).replace(/\.[^.]*$/, '')),
  'four parts': async () => bearer(`${await valid()}.x`),
  encrypted: async () =>
    bearer(
      await new EncryptJWT(JSON.parse(CLAIMS))
        .setProtectedHeader({ alg: 'dir', enc: 'A128CBC-HS256' })
        .encrypt(Buffer.from(SECRET.slice(0, 32))),
    ),
  oversized: async () => bearer(await token({ ...NAMED, more: 'x'.repeat(8_000) })),
  'a tenant given twice': async () => bearer(signed(HS256, CLAIMS.replace('{', '{"tenant_id":"globex",'))),
  'a role given twice': async () => bearer(signed(HS256, CLAIMS.replace('}', ',"role":"super-admin"}'))),
  'alg given twice': async () => bearer(signed('{"alg":"none","alg":"HS256"}', CLAIMS)),
  'another tenant written in': async () => {
    const [header, , signature] = (await valid()).split('.');
    return bearer([header, encoded(CLAIMS.replace('acme-corp', 'globex')), signature].join('.'));
  },
  'no tenant': async () => bearer(await token({ ...NAMED, tenant_id: undefined })),
  'an empty tenant': async () => bearer(await token({ ...NAMED, tenant_id: '' })),
  'a tenant that is a list': async () => bearer(await token({ ...NAMED, tenant_id: ['acme-corp'] })),
  'a tenant with a control character': async () => bearer(await token({ ...NAMED, tenant_id: 'a\u0000b' })),
  'no role': async () => bearer(await token({ ...NAMED, role: undefined })),
  'an unknown role': async () => bearer(await token({ ...NAMED, role: 'root' })),
  'a role that objects have': async () => bearer(await token({ ...NAMED, role: 'constructor' })),
  'the role of API keys': async () => bearer(await token({ ...NAMED, role: 'api key' })),
  'two roles': async () => bearer(await token({ ...NAMED, role: ['viewer', 'admin'] })),
  'claims that are a list': async () => bearer(signed(HS256, `[${CLAIMS}]`)),
  'claims that are no JSON': async () => bearer(signed(HS256, CLAIMS.slice(0, -1))),
  'claims that are not UTF-8': async () =>
    bearer(signed(HS256, CLAIMS).replace(/\.[^.]+\./, `.${Buffer.from([0xff]).toString('base64url')}.`)),
  'a token and an API key': async () => ({ ...bearer(await valid()), 'x-api-key': 'isage_x' }),
  'two tokens': async () => ({ authorization: [`Bearer ${await valid()}`, `Bearer ${await valid()}`] }),
  'a token as an API key': async () => ({ 'x-api-key': await valid() }),
  'an API key that was made up': async () => ({ 'x-api-key': `isage_${'A'.repeat(43)}` }),
  'an API key that is none': async () => ({ 'x-api-key': `isage_' OR 1=1 --` }),
  'a token in a cookie': async () => ({ cookie: `token=${await valid()}` }),
};

describe('tokens', () => {
  test('a valid one is taken, whatever the case of the scheme', async () => {
    expect((await get(bearer(await valid()))).statusCode).toBe(200);
    expect((await get({ authorization: `bearer  ${await valid()}` })).statusCode).toBe(200);
  });

  test('there are at least 25 hostile ones', () => {
    expect(Object.keys(HOSTILE).length).toBeGreaterThanOrEqual(25);
  });

  test.each(Object.entries(HOSTILE))('%s: 401, the same body for all', async (_, headers) => {
    const answer = await get(await headers());
    expect({ status: answer.statusCode, body: answer.body }).toEqual({ status: 401, body: UNAUTHORIZED });
    expect(answer.headers).toMatchObject({
      'content-type': 'application/problem+json; charset=utf-8',
      'www-authenticate': 'Bearer',
    });
  });

  test('a token in the address is none', async () => {
    const answer = await app.inject(`${PATH}?access_token=${await valid()}`);
    expect(answer.body).toBe(UNAUTHORIZED);
  });

  test('why is in the log, and the token is not', async () => {
    const bad = await token({ ...NAMED, exp: SECONDS - 1 });
    await get(bearer(bad));
    expect(log()).toContain('"exp\\" claim timestamp check failed');
    expect(log()).not.toContain(bad);
    expect(log()).not.toContain(bad.split('.')[2]);
  });

  test('a public key is no shared secret', async () => {
    const good = await token(NAMED, { header: { alg: 'RS256' }, key: rsa.privateKey });
    expect((await get(bearer(good), byKey)).statusCode).toBe(200);
    for (const secret of [pem(rsa.publicKey), pem(rsa.publicKey).trim()]) {
      expect((await get(bearer(signed(HS256, CLAIMS, secret)), byKey)).body).toBe(UNAUTHORIZED);
    }
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
    for (const [alg, key] of [
      ['RS256', other.privateKey],
      ['RS512', rsa.privateKey],
      ['PS256', rsa.privateKey],
      ['ES256', ec.privateKey],
    ] as const) {
      const answer = await get(bearer(await token(NAMED, { header: { alg }, key })), byKey);
      expect(answer.body).toBe(UNAUTHORIZED);
    }
  });

  test('keys from an address: RS256, ES256 and EdDSA by kid, and nothing else', async () => {
    const keys = { rsa, ec, ed };
    const jwks = {
      keys: [
        ...(await Promise.all(
          Object.entries(keys).map(async ([kid, { publicKey }]) => ({
            ...(await exportJWK(publicKey)),
            kid,
          })),
        )),
        { kty: 'oct', k: encoded(SECRET), kid: 'oct' },
      ],
    };
    const provider = createServer((_, response) => response.end(JSON.stringify(jwks)));
    await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
    const { port } = provider.address() as AddressInfo;
    const { app: byAddress } = await server(store, {
      tokens: { ...NAMES, key: { kind: 'jwks', url: `http://127.0.0.1:${port}/` } },
    });
    apps.push(byAddress);
    for (const [alg, kid] of [
      ['RS256', 'rsa'],
      ['ES256', 'ec'],
      ['EdDSA', 'ed'],
    ] as const) {
      const good = await token(NAMED, { header: { alg, kid }, key: keys[kid].privateKey });
      expect({ alg, status: (await get(bearer(good), byAddress)).statusCode }).toEqual({ alg, status: 200 });
    }
    for (const bad of [
      await token(NAMED, { header: { kid: 'oct' } }),
      await token(NAMED, { header: { alg: 'RS256', kid: 'nobody' }, key: rsa.privateKey }),
      await token(NAMED, { header: { alg: 'ES256', kid: 'rsa' }, key: ec.privateKey }),
      signed('{"alg":"HS256","kid":"rsa"}', CLAIMS, pem(rsa.publicKey)),
    ]) {
      expect((await get(bearer(bad), byAddress)).body).toBe(UNAUTHORIZED);
    }
    await new Promise((resolve) => provider.close(resolve));
  });
});

test.each<[what: string, answer: (response: ServerResponse) => void]>([
  ['fails', (response) => response.writeHead(500).end()],
  ['hangs up', (response) => response.destroy()],
  ['answers with something else', (response) => response.end('<html>')],
  ['answers with no key set', (response) => response.end('{}')],
])(
  'where the address of the keys %s, a token is not called invalid: 503, and again later',
  async (_, answer) => {
    const provider = createServer((_request, response) => answer(response));
    await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
    const { port } = provider.address() as AddressInfo;
    const { app: down, log } = await server(store, {
      tokens: { ...NAMES, key: { kind: 'jwks', url: `http://127.0.0.1:${port}/` } },
    });
    apps.push(down);
    const good = await token(NAMED, { header: { alg: 'RS256', kid: 'rsa' }, key: rsa.privateKey });
    const { statusCode, headers, json } = await get(bearer(good), down);
    expect({ statusCode, retry: headers['retry-after'] }).toEqual({ statusCode: 503, retry: '5' });
    expect(json()).toEqual({
      type: 'about:blank',
      title: 'Service Unavailable',
      status: 503,
      detail: 'the server cannot answer now; try again in a moment',
      request_id: headers['x-request-id'],
    });
    expect(log()).toContain('INFRASAGE_JWKS_URL does not answer with a key set');
    // What is refused whatever the keys are.
    expect((await get(bearer(await token(NAMED)), down)).body).toBe(UNAUTHORIZED);
    expect((await get({}, down)).body).toBe(UNAUTHORIZED);
    await new Promise((resolve) => provider.close(resolve));
  },
);

describe('API keys', () => {
  test('one is known until it is revoked, reads nothing, and is not stored', async () => {
    let now = NOW;
    const { app: timed } = await server(store, { now: () => now, tokens: NAMES });
    apps.push(timed);
    const { key, kept } = await createKey(
      store,
      { tenantId: 'acme-corp', name: 'edge' },
      { now: NOW, random: randomBytes },
    );
    expect(key).toMatch(/^isage_[A-Za-z0-9_-]{43}$/);
    const ask = () => get({ 'x-api-key': key }, timed);
    const known = await ask();
    expect(known.json()).toMatchObject({ status: 403, detail: 'this role may not read usage' });

    await revokeKey(store, { id: kept.id, tenantId: 'acme-corp', now: NOW });
    now = new Date(NOW.getTime() + 2_000);
    expect((await ask()).body).toBe(UNAUTHORIZED);

    const { key: later } = await createKey(
      store,
      { tenantId: 'acme-corp', name: '' },
      { now: NOW, random: randomBytes },
    );
    now = new Date(now.getTime() + 300);
    expect((await get({ 'x-api-key': later }, timed)).statusCode).toBe(403);
  });

  test('one of another tenant is not revoked', async () => {
    const { kept } = await createKey(
      store,
      { tenantId: 'globex', name: '' },
      { now: NOW, random: randomBytes },
    );
    expect(await revokeKey(store, { id: kept.id, tenantId: 'acme-corp', now: NOW })).toBeUndefined();
  });
});
