import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Sandbox, sandbox, withDataDir } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { type Serving, serve } from './helpers/serve.ts';

const SECRET = 'c0ffee'.repeat(11);
const ENV = { INFRASAGE_JWT_SECRET: SECRET };

/** As documented, to the letter. */
const BREAKDOWN = `curl http://localhost:8080/api/v1/usage/breakdown -H "Authorization: Bearer $ADMIN_JWT" -G \\
  --data-urlencode "since=2026-04-01T00:00:00Z" --data-urlencode "until=2026-04-10T00:00:00Z" --data-urlencode "group_by=service_id"`;
const ALERT = `curl -X POST http://localhost:8080/api/v1/usage/alerts -H "Authorization: Bearer $ADMIN_JWT" \\
  -d '{"threshold_percent": 80, "notify_email": "billing@mycompany.com", "notify_slack": true}'`;

describe('serve', () => {
  let box: Sandbox;
  let server: Serving;
  let token: string;
  let apiKey: string;
  let expected: Record<string, unknown>;

  /** Runs a documented line in a shell, against the port there is. */
  async function shell(line: string): Promise<unknown> {
    const { stdout } = await promisify(execFile)(
      'sh',
      ['-c', line.replace('http://localhost:8080', server.url)],
      {
        cwd: box.folder,
        env: { PATH: process.env.PATH, ADMIN_JWT: token },
      },
    );
    return JSON.parse(stdout);
  }

  beforeAll(async () => {
    box = sandbox({ initialised: true });
    const events = ['payment-api', 'payment-api', 'checkout-api'].map((service_id) =>
      event({ service_id, timestamp: '2026-04-02T03:04:05Z' }),
    );
    await box.run(['ingest'], { stdin: lines(...events, event({ tenant_id: 'globex' })) });
    expected = await box.json(
      'usage --since 2026-04-01 --until 2026-04-10 --by service_id --tenant acme-corp'.split(' '),
    );
    const made = await box.run('token create --role admin --tenant acme-corp --expires 30d'.split(' '), {
      env: ENV,
    });
    expect(made).toMatchObject({ status: 0, stderr: '' });
    expect(made.stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    token = made.stdout.trim();
    ({ key: apiKey } = await box.json<{ key: string }>([
      'keys',
      'create',
      '--tenant',
      'acme-corp',
      '--name',
      'edge',
    ]));
    server = await serve(box, ENV);
  });
  afterAll(() => box.remove());

  test('the documented lines work to the letter, with the figures of the command', async () => {
    const { period, breakdown, total_events, total_bytes } = expected;
    expect(await shell(BREAKDOWN)).toEqual({ period, breakdown, total_events, total_bytes });
    expect(breakdown).toMatchObject([
      { service_id: 'payment-api', events: 2 },
      { service_id: 'checkout-api', events: 1 },
    ]);
    expect(period).toEqual({ start: '2026-04-01T00:00:00Z', end: '2026-04-10T00:00:00Z' });
    expect(await shell(ALERT)).toMatchObject({
      tenant_id: 'acme-corp',
      threshold_percent: 80,
      notify_email: 'billing@mycompany.com',
      notify_slack: true,
    });
  });

  test('the other commands work beside it, with the same figures, and a key is refused soon after it is revoked', async () => {
    const line = 'usage --since 2026-04-01 --until 2026-04-10 --by service_id --tenant acme-corp';
    expect(await box.json(line.split(' '))).toEqual(expected);
    const { id, key } = await box.json<{ id: string; key: string }>(['keys', 'create', '--tenant', 'globex']);
    const ask = async () =>
      (await fetch(`${server.url}/api/v1/usage/summary`, { headers: { 'x-api-key': key } })).status;
    let answer = await ask();
    while (answer === 401) answer = await ask();
    expect(answer).toBe(403);
    await box.run(['keys', 'revoke', id]);
    while (answer !== 401) answer = await ask();
  });

  test('telemetry that is sent shows in the figures and the dashboard’s data, fires an alert, and verify agrees', async () => {
    const ask = async (path: string, init: RequestInit = {}) => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const answer = await fetch(`${server.url}/api/v1/${path}`, { headers, ...init });
      expect(answer.status).toBe(200);
      return answer.json();
    };
    await ask('usage/quota', { method: 'PUT', body: '{"monthly_events":2}' });
    const timestamp = new Date().toISOString();
    const sent = await ask('telemetry/batch', {
      method: 'POST',
      headers: { 'x-api-key': apiKey, 'content-type': 'application/x-ndjson' },
      body: lines(event({ timestamp }), event({ timestamp, service_id: 'edge' }), '{"service_id":5}'),
    });
    expect(sent).toMatchObject({ queued: 2, failed: 1 });
    expect(await ask('usage/breakdown?group_by=service_id')).toMatchObject({
      breakdown: [{ service_id: 'checkout-api' }, { service_id: 'edge' }],
      total_events: 2,
    });
    const hour = `${timestamp.slice(0, 13)}:00:00Z`;
    expect(await ask('usage/series')).toMatchObject({
      points: [{ time: hour, event_type: 'metric', events: 2 }],
    });
    expect(await ask('dlq/summary')).toMatchObject({ total: 1 });
    expect(await ask('usage/summary')).toMatchObject({ total_events: 2, quota_used_percent: 100 });
    const page = await fetch(`${server.url}/`);
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('<html')]);
    const usage = ['usage', '--since', '24h', '--tenant', 'acme-corp'];
    expect(await box.json(usage)).toMatchObject({ total_events: 2 });
    // Whoever comes first, the server or this.
    await box.run(['alerts', 'check']);
    expect(await box.json(['alerts', 'history'])).toMatchObject({
      alerts: [{ tenant_id: 'acme-corp', threshold_percent: 80, used: 2, quota: 2 }],
    });
    expect(await box.json(['verify'])).toMatchObject({ ok: true, differences: [] });
  });

  test('SIGTERM: what is under way is finished, the directory let go of, exit 0; no secret was logged', async () => {
    const headers = { authorization: `Bearer ${token}` };
    const kept = await fetch(`${server.url}/api/v1/usage/summary`, { headers });
    expect(kept.status).toBe(200);
    for (const bad of [
      { 'x-api-key': apiKey },
      { 'x-api-key': `${apiKey}x` },
      { authorization: `Bearer ${token}x` },
    ]) {
      await fetch(`${server.url}/api/v1/usage/summary`, { headers: bad });
    }
    const asked = Array.from({ length: 20 }, () =>
      fetch(`${server.url}/api/v1/usage/breakdown`, { headers }).then((answer) => answer.status),
    );
    await Promise.race(asked);
    server.child.kill('SIGTERM');
    const { status, stdout, stderr } = await server.done;
    // Those that came too late for it found the door closed.
    const answers = await Promise.allSettled(asked);
    expect(answers.every((one) => one.status === 'rejected' || [200, 503].includes(one.value))).toBe(true);
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
    for (const secret of [SECRET, token, token.split('.')[2] ?? '', apiKey])
      expect(stderr).not.toContain(secret);
    const log = stderr.split('\n').filter((line) => line.startsWith('{'));
    expect(log.map((line) => JSON.parse(line))).toContainEqual(
      expect.objectContaining({ route: '/api/v1/usage/summary', status: 200, tenant_id: 'acme-corp' }),
    );
    const { alerts } = await box.json<{ alerts: object[] }>(['alerts', 'list']);
    expect(alerts).toMatchObject([{ threshold_percent: 80, notify_email: 'billing@mycompany.com' }]);
  });

  test('a port that is in use', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const address = other.address();
    const port = typeof address === 'object' ? String(address?.port) : '';
    const { status, stderr } = await box.run(['serve', '--port', port], { env: ENV });
    expect({ status, stderr }).toEqual({
      status: 3,
      stderr: `infrasage: cannot listen on 127.0.0.1, port ${port}: the port is in use; give another --host or --port\n`,
    });
    other.close();
  });
});

describe('without a data directory', () => {
  test.each<[string, Record<string, string>, RegExp]>([
    ['serve', {}, /nothing to verify tokens with: set INFRASAGE_JWT_SECRET, /],
    ['serve', { INFRASAGE_JWT_SECRET: 'x'.repeat(31) }, /INFRASAGE_JWT_SECRET must be at least 32 bytes/],
    [
      'serve',
      { ...ENV, INFRASAGE_JWKS_URL: 'https://login.example/keys' },
      /only one of INFRASAGE_JWT_SECRET/,
    ],
    ['serve', { INFRASAGE_JWKS_URL: 'http://login.example/keys' }, /INFRASAGE_JWKS_URL must be an https URL/],
    ['serve', { INFRASAGE_JWKS_URL: 'file:///etc/passwd' }, /INFRASAGE_JWKS_URL must be an https URL/],
    [
      'serve',
      { INFRASAGE_JWT_PUBLIC_KEY_FILE: '/nowhere.pem' },
      /PUBLIC_KEY_FILE \/nowhere.pem cannot be read/,
    ],
    [
      'serve --port 65536',
      ENV,
      /--port or INFRASAGE_PORT must be a whole number from 0 to 65535 \(given: 65536\)/,
    ],
    [
      'serve',
      { ...ENV, INFRASAGE_PORT: 'http' },
      /--port or INFRASAGE_PORT must be a whole number .*\(given: http\)/,
    ],
    ['serve', { ...ENV, INFRASAGE_LOG_LEVEL: 'loud' }, /LOG_LEVEL must be one of debug, .* \(given: loud\)/],
    ['serve', { ...ENV, INFRASAGE_RATE_LIMIT: '0' }, /INFRASAGE_RATE_LIMIT must be a whole number from 1/],
    ['token create --role root --tenant t', ENV, /--role root is not a role; use one of viewer, /],
    ['token create --role admin', ENV, /a token needs a tenant; give --tenant ID/],
    ['token create --role admin --tenant t --expires soon', ENV, /--expires soon is not a time span/],
    [
      'token create --role admin --tenant t',
      {},
      /nothing to sign a token with: set INFRASAGE_JWT_SECRET to the secret that infrasage serve was started with; (?!.*(openssl|JWKS))/,
    ],
    [
      'token create --role admin --tenant t',
      { INFRASAGE_JWKS_URL: 'https://login.example/keys' },
      /tokens can be created only with INFRASAGE_JWT_SECRET/,
    ],
    ['keys create', {}, /a key needs a tenant; give --tenant ID/],
  ])('%s with %j', async (line, env, words) => {
    await withDataDir(async (box) => {
      const { status, stdout, stderr } = await box.run(line.split(' '), { env });
      expect(stderr).toMatch(words);
      expect(stderr).toMatch(/^infrasage: [^\n]+\n$/);
      expect(stdout).toBe('');
      expect(status).toBe(env.INFRASAGE_JWT_PUBLIC_KEY_FILE ? 3 : 2);
      for (const secret of [SECRET, 'x'.repeat(31)]) expect(stderr).not.toContain(secret);
    });
  });
});

test('keys are made, listed and revoked; the key itself is shown once and not stored', async () => {
  await withDataDir(async (box) => {
    const made = await box.json<Record<string, string>>([
      'keys',
      'create',
      '--tenant',
      'acme-corp',
      '--name',
      'edge',
    ]);
    expect(made).toMatchObject({ tenant_id: 'acme-corp', name: 'edge', revoked_at: null });
    expect(made.key).toMatch(/^isage_[\w-]{43}$/);
    const tenant = `globex-${'x'.repeat(90)}`;
    const { stdout, stderr } = await box.run(['keys', 'create', '--tenant', tenant]);
    expect(stdout).toMatch(/isage_[\w-]{43}/);
    // Also in a pipe, which has no width, it is whole.
    expect(stdout).toContain(tenant);
    expect(stdout).not.toContain('Keep');
    expect(stderr).toContain('Keep the key now: it is not shown again.');
    const { keys } = await box.json<{ keys: Record<string, string>[] }>(['keys', 'list']);
    expect(keys).toHaveLength(2);
    expect(JSON.stringify(keys)).not.toMatch(/isage_|hash/);
    const { key, ...kept } = made;
    expect(keys).toContainEqual(kept);
    expect((await box.run(['keys', 'revoke', 'nonsense'])).stderr).toBe(
      'infrasage: there is no key nonsense; see infrasage keys list\n',
    );
    const revoked = await box.json<Record<string, string>>(['keys', 'revoke', made.id ?? '']);
    expect(revoked.revoked_at).not.toBeNull();
    expect(await box.json(['keys', 'list', '--tenant', 'acme-corp'])).toEqual({ keys: [revoked] });
  });
});
