import { execFileSync } from 'node:child_process';
import { readFileSync, statfsSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { ClickHouseServer } from './helpers/clickhouse-server.ts';
import { expectFigures, expectVerified, monthsOfEvents } from './helpers/crash.ts';
import { event, lines } from './helpers/events.ts';
import { freePort } from './helpers/free-port.ts';
import { CAN_MOUNT, SmallDisk } from './helpers/small-disk.ts';
import { TcpProxy } from './helpers/tcp-proxy.ts';

const PASSWORD = 'pa55:w0rd/@"%';
const EVENTS = lines(event(), event({ tenant_id: 'other' }), 'no json');

let server: ClickHouseServer;
let box: Sandbox;
beforeAll(async () => {
  server = await ClickHouseServer.start({
    users: {
      meter: { password: PASSWORD },
      poor: { password: PASSWORD, grants: ['GRANT SELECT, INSERT, CREATE ON poor.*'] },
      granted: { password: PASSWORD, grants: printedGrants() },
      reader: { password: PASSWORD, grants: ['GRANT SELECT ON infrasage.*'] },
    },
  });
  box = sandbox();
});
afterAll(async () => {
  await box.remove();
  await server.remove();
});

/** What `init --print-grants` prints for a user of the database `granted`, as statements of the server's own file of users. */
function printedGrants(): string[] {
  const printed = execFileSync(
    process.execPath,
    [
      'bin/infrasage.js',
      '--clickhouse',
      'http://granted@localhost',
      '--database',
      'granted',
      'init',
      '--print-grants',
    ],
    { env: { PATH: process.env.PATH, HOME: tmpdir() }, encoding: 'utf8' },
  );
  return printed
    .trim()
    .split('\n')
    .map((statement) => statement.replace(/ TO `granted`;$/, ''));
}

interface Given {
  url?: string;
  env?: Record<string, string>;
  args?: readonly string[];
  input?: string;
}

/** Runs ingest, and says what it ended with. No word of it may hold a password. */
async function ingest({ url = server.url, env = {}, args = [], input = EVENTS }: Given = {}) {
  const result = await box.run(['--clickhouse', url, '--retry-for', '0', '--debug', ...args, 'ingest'], {
    stdin: input,
    env,
  });
  for (const secret of [PASSWORD, encodeURIComponent(PASSWORD)]) {
    expect(result.stdout + result.stderr).not.toContain(secret);
  }
  return { ...result, line: result.stderr.split('\n')[0] ?? '' };
}

describe('what is wrong with a server is said in one line, with exit status 3', () => {
  test('a wrong password, and a user that does not exist', async () => {
    const wrong = await ingest({
      env: { INFRASAGE_CLICKHOUSE_USER: 'meter', INFRASAGE_CLICKHOUSE_PASSWORD: 'x' },
    });
    expect(wrong.status).toBe(3);
    expect(wrong.line).toMatch(
      /^infrasage: the ClickHouse server at http:\/\/127\.0\.0\.1:\d+ refuses the user meter with this password; .*INFRASAGE_CLICKHOUSE_PASSWORD$/,
    );
    const nobody = await ingest({ url: server.urlOf('nobody', PASSWORD) });
    expect(nobody.status).toBe(3);
    expect(nobody.line).toContain('refuses the user nobody');
  });

  test('nobody listens, there is no such host, or something else answers', async () => {
    const none = await ingest({ url: `http://127.0.0.1:${await freePort()}` });
    expect(none.status).toBe(3);
    expect(none.line).toMatch(/does not answer \(ECONNREFUSED\); check --clickhouse and whether it runs/);
    const lost = await ingest({ url: 'http://no-such-host.invalid:8123' });
    expect(lost.status).toBe(3);
    expect(lost.line).toMatch(/there is no host no-such-host\.invalid|EAI_AGAIN/);
    await answering('<html>404</html>', 404, async (url) => {
      const other = await ingest({ url });
      expect(other.status).toBe(3);
      expect(other.line).toMatch(
        /what answers at http:\S+ is not a ClickHouse server \(status 404\); check --clickhouse/,
      );
    });
  });

  test('too old a version', async () => {
    await answering('{"version":"25.3.14.1","on_cluster":0,"on_one":0}\n', 200, async (url) => {
      const old = await ingest({ url });
      expect(old.status).toBe(3);
      expect(old.line).toMatch(
        /is version 25\.3\.14\.1, and infrasage needs 25\.4 or later; update the server$/,
      );
    });
  });

  test('a certificate that nobody vouches for, until it is named; and no TLS at all', async () => {
    const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(box.folder, name)) as [string, string];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-days',
        '2',
        ...subject,
        '-keyout',
        key,
        '-out',
        cert,
      ],
      { stdio: 'ignore' },
    );
    const tls = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
    const proxy = await TcpProxy.start({ to: server.httpPort, tls });
    try {
      const unknown = await ingest({ url: proxy.url });
      expect(unknown.status).toBe(3);
      expect(unknown.line).toMatch(
        /no secure connection to .*self-signed certificate; set INFRASAGE_CLICKHOUSE_CA_FILE/,
      );
      const known = await ingest({
        url: proxy.url,
        env: { INFRASAGE_CLICKHOUSE_CA_FILE: cert },
        args: ['--database', 'over_tls'],
      });
      expect(known.status, known.stderr).toBe(0);
    } finally {
      await proxy.stop();
    }
    const plain = await ingest({ url: server.url.replace('http:', 'https:') });
    expect(plain.status).toBe(3);
    expect(plain.line).toMatch(
      /no secure connection to the ClickHouse server at https:\S+: [a-z ]+; set INFRASAGE_CLICKHOUSE_CA_FILE/,
    );
    const missing = await ingest({ env: { INFRASAGE_CLICKHOUSE_CA_FILE: '/nowhere.pem' } });
    expect(missing.line).toContain('INFRASAGE_CLICKHOUSE_CA_FILE cannot be read: /nowhere.pem');
  });

  test('missing grants, each with its statement, and nothing half made', async () => {
    const poor = await ingest({ url: server.urlOf('poor', PASSWORD), args: ['--database', 'poor'] });
    expect(poor.status).toBe(3);
    expect(poor.line).toContain(
      'the user poor lacks grants on the ClickHouse server: GRANT ALTER DELETE ON `poor`.* TO `poor`; ',
    );
    expect(poor.line).toContain('GRANT SELECT ON system.processes TO `poor`');
    expect(poor.line).toContain('GRANT TABLE ENGINE ON MergeTree TO `poor`');
    expect(poor.line).not.toMatch(/GRANT (SELECT|INSERT|CREATE TABLE) ON `poor`/);
    expect(await server.sql(`SELECT name FROM system.databases WHERE name = 'poor'`)).toEqual([]);
  });

  test('what --print-grants prints is enough, and SELECT is for reports', async () => {
    const granted = { url: server.urlOf('granted', PASSWORD), args: ['--database', 'granted'] };
    expect((await ingest(granted)).stderr).toBe('');
    expect((await ingest({ ...granted, args: [...granted.args, '--quiet'] })).stdout).toContain('3 skipped');
    const verified = await box.run(['--clickhouse', granted.url, ...granted.args, 'verify']);
    expect(verified.stdout).toContain('Everything agrees.');
    expect((await ingest({ url: server.urlOf('meter', PASSWORD) })).status).toBe(0);
    const reader = ['--clickhouse', server.urlOf('reader', PASSWORD)];
    const usage = await box.run([...reader, 'usage', '--since', '2024-01-01', '--json']);
    expect(JSON.parse(usage.stdout)).toMatchObject({ total_events: 2 });
    const refused = await ingest({
      url: server.urlOf('reader', PASSWORD),
      input: lines(event({ value: 7 })),
    });
    expect(refused.status).toBe(3);
    expect(refused.line).toContain('GRANT INSERT ON `infrasage`.* TO `reader`');
  });

  test.skipIf(!CAN_MOUNT)(
    'a full disk: what is in stays, and the same command goes on when there is space',
    async () => {
      const disk = new SmallDisk(join(box.folder, 'disk'), '64m');
      const small = await ClickHouseServer.start({ path: join(disk.folder, 'data') });
      try {
        const env = { INFRASAGE_CLICKHOUSE_URL: small.url };
        await box.json(['init'], { env });
        const { path, truth } = monthsOfEvents(box.folder, 40_000, 9);
        // Some of these batches are in before the disk is full.
        const args = ['ingest', '--batch-bytes', '1000000', '--max-line', '20000', path];
        disk.take(statfsSync(disk.folder).bavail * statfsSync(disk.folder).bsize - 6_000_000);
        // In processes that end: what they could not let go of on a full disk is free then.
        const full = await box.apart(args, { env });
        expect(full.stderr).toMatch(
          /^infrasage: the disk of the ClickHouse server at \S+ is full; .*make space there and run the same command again: what was acknowledged is intact\n$/,
        );
        expect(full.status).toBe(3);
        const usage = ['usage', '--since', '2020-01-01'];
        const { total_events: kept } = await box.json<{ total_events: number }>(usage, { env });
        expect(kept).toBeGreaterThan(0);
        expect(kept).toBeLessThan(truth.accepted);
        // What is there agrees, unless half a batch could not be removed for want of space, and that is said.
        const meanwhile = await box.run(['verify'], { env });
        if (meanwhile.status !== 0) expect(meanwhile.stderr).toContain('could not be settled');
        expect((await box.apart(args, { env })).status).toBe(3);
        disk.free('400m');
        const last = await box.run(args, { env });
        expect(last.stderr).not.toContain('infrasage:');
        expect(last.status).toBe(0);
        await expectVerified(box, env);
        await expectFigures((sql) => small.sql(sql), truth);
      } finally {
        await small.remove();
        disk.remove();
      }
    },
  );

  test.each([
    ['ftp://localhost', '--clickhouse or INFRASAGE_CLICKHOUSE_URL must be an http or https URL'],
    ['localhost:8123', 'must be an http or https URL'],
    [`http://u:secret-word@localhost:99999`, 'must be an http or https URL'],
    ['http://localhost:8123/?database=x', 'must have no ? and no # in it'],
  ])('a URL that is none: %s', async (url, words) => {
    const { status, stderr } = await box.run(['--clickhouse', url, 'init']);
    expect(status).toBe(2);
    expect(stderr).toContain(words);
    expect(stderr).not.toContain('secret-word');
  });
});

/** Something that gives every request the same answer. */
async function answering(body: string, status: number, use: (url: string) => Promise<void>): Promise<void> {
  const other = createServer((_, response) => response.writeHead(status).end(body));
  const port = await freePort();
  await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
  try {
    await use(`http://127.0.0.1:${port}`);
  } finally {
    other.close();
    other.closeAllConnections();
  }
}
