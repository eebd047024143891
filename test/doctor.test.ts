import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sandbox, sandbox, until, withDataDir, withStore } from './helpers/cli.ts';
import { CLUSTER, ClickHouseServer, startCluster } from './helpers/clickhouse-server.ts';
import { withEngine } from './helpers/engine.ts';
import { event, lines } from './helpers/events.ts';
import { parseCsv } from './helpers/formats.ts';
import { freePort } from './helpers/free-port.ts';
import { type MailServer, mailServer, type Receiver, receiver } from './helpers/receivers.ts';

interface Report {
  ok: boolean;
  checks: {
    name: string;
    status: string;
    summary: string;
    findings: { code: string; message: string; fix: string }[];
    details: Record<string, unknown>;
  }[];
}

type Env = Record<string, string | undefined>;

async function doctor(box: Sandbox, env: Env = {}, ...args: string[]) {
  const { status, stdout, stderr } = await box.run(['doctor', '--json', ...args], { env });
  expect(stderr).toBe('');
  const report = JSON.parse(stdout) as Report;
  expect(status).toBe(report.ok ? 0 : 1);
  const check = (name: string) => report.checks.find((one) => one.name === name);
  const codes = report.checks.flatMap(({ findings }) => findings.map(({ code }) => code));
  const fix = (code: string) =>
    report.checks.flatMap(({ findings }) => findings).find((one) => one.code === code)?.fix;
  return { ...report, check, codes, fix, stdout };
}

describe('doctor on a data directory', () => {
  it('finds nothing where nothing is wrong, and says what there is', () =>
    withStore(async (box) => {
      await box.json(['ingest'], { stdin: lines(event({ timestamp: new Date().toISOString() })) });
      const { codes, check } = await doctor(box);
      expect(codes).toEqual([]);
      expect(check('engine')?.summary).toMatch(/^chdb [\d.]+, ClickHouse [\d.]+; infrasage [\d.]+, Node 2/);
      expect(check('data_directory')?.details).toMatchObject({ path: box.dataDir, mode: '0700' });
      expect(check('disk')?.details).toMatchObject({ events_per_day: 1 });
      expect(check('schema')?.summary).toBe('up to date');
      const { stdout } = await box.run(['doctor', '--settings']);
      expect(stdout).toContain('Nothing is wrong.');
      expect(stdout).toContain(`data_dir = ${box.dataDir}   (INFRASAGE_DATA_DIR)`);
      expect(stdout).toContain('database = infrasage   (default)');
    }));

  it('makes nothing where there is nothing', () =>
    withDataDir(async (box) => {
      const { codes, fix } = await doctor(box);
      expect(codes).toEqual(['no_directory']);
      expect(fix('no_directory')).toBe(`infrasage init --data-dir ${box.dataDir}`);
      const [header, , row] = parseCsv((await box.run(['doctor', '--format', 'csv'])).stdout);
      expect(header).toEqual(['check', 'status', 'summary', 'code', 'message', 'fix']);
      expect(row).toEqual(expect.arrayContaining(['no_directory', fix('no_directory')]));
      expect((await doctor(box)).codes).toEqual(['no_directory']);
      box.file('data', 'a file');
      expect((await doctor(box)).codes).toEqual(['no_directory']);
    }));

  it('names the process that has it, and a lock that is left', () =>
    withStore(async (box) => {
      const { pid, child, done, stdin } = box.start(['ingest']);
      stdin.write(lines(event()));
      const lock = join(box.dataDir, 'infrasage.lock');
      await until(() => holds(lock, pid));
      const inUse = await doctor(box);
      expect(inUse.codes).toEqual(['in_use']);
      expect(inUse.check('locks')?.details).toMatchObject({
        holder: { pid, command: 'ingest' },
        stale: false,
      });
      expect(inUse.check('batches')?.status).toBe('skipped');
      child.kill('SIGKILL');
      await done;
      const left = await doctor(box);
      expect(left.check('locks')?.details).toMatchObject({ holder: { pid }, stale: true });
      expect((await doctor(box)).check('locks')?.details).toEqual({ holder: null });
    }));

  it('reads through a process that shares it', () =>
    withStore(async (box) => {
      const env = { INFRASAGE_JWT_SECRET: 'x'.repeat(32), INFRASAGE_PORT: '0' };
      const { child, done } = box.start(['serve'], { env });
      await until(() => holds(join(box.dataDir, 'infrasage.lock'), child.pid ?? 0));
      const { codes, check } = await doctor(box);
      expect(codes).toEqual([]);
      expect(check('locks')?.summary).toContain('(infrasage serve) has the data directory, and shares it');
      child.kill('SIGTERM');
      await done;
    }));

  it('finds others let in, a database and a schema that are not there, a damaged file, and settles nothing', () =>
    withStore(async (box) => {
      chmodSync(box.dataDir, 0o755);
      const open = await doctor(box);
      expect(open.fix('open_to_others')).toBe(`chmod 700 ${box.dataDir}`);
      chmodSync(box.dataDir, 0o700);
      expect((await doctor(box, {}, '--database', 'infrasagee')).codes).toEqual(['not_opened']);
      const path = join(box.dataDir, 'infrasage.json');
      const written = readFileSync(path, 'utf8');
      writeFileSync(path, JSON.stringify({ ...JSON.parse(written), schema: { infrasage: 'older' } }));
      expect((await doctor(box)).codes).toEqual(['outdated_schema']);
      expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ schema: { infrasage: 'older' } });
      writeFileSync(path, '{');
      expect((await doctor(box)).codes).toEqual(['not_opened']);
      writeFileSync(path, written);
    }));

  it('counts batches that were left, lines set aside, and a clock that is behind', () =>
    withStore(async (box) => {
      await box.json(['ingest'], { stdin: lines(event()) });
      const gone = JSON.stringify({ host: hostname(), pid: 1, started: 'never' });
      await withEngine(box.dataDir, (sql) => {
        sql(`INSERT INTO infrasage.infrasage_ingest_batches
          SELECT * REPLACE ('left#1' AS batch_id, 'left' AS key, 'nothing' AS previous_key, 'pending' AS state, 1 AS revision, 7 AS lines, '${gone}' AS owner)
          FROM (SELECT * FROM infrasage.infrasage_ingest_batches WHERE state = 'committed')`);
        sql(`INSERT INTO infrasage.infrasage_ingest_batches
          SELECT * REPLACE ('ahead#1' AS batch_id, 'ahead' AS key, now64(3) + INTERVAL 8 DAY AS recorded_at)
          FROM (SELECT * FROM infrasage.infrasage_ingest_batches WHERE state = 'committed')`);
      });
      writeFileSync(join(box.dataDir, 'spool', 'infrasage', 'x.ndjson.set-aside'), '');
      const found = await doctor(box);
      expect(found.codes).toEqual(['pending_batches', 'set_aside', 'clock_skew']);
      expect(found.check('batches')?.details).toMatchObject({ pending: 1, lines: 7, under_way: 0 });
      expect(found.fix('pending_batches')).toBe('infrasage recover');
      expect((await doctor(box)).check('batches')?.details).toMatchObject({ pending: 1 });
      await box.json(['recover']);
      expect((await doctor(box)).codes).not.toContain('pending_batches');
    }));

  it('says which settings are wrong, and goes on with nothing else', () =>
    withStore(async (box) => {
      const { codes, checks } = await doctor(box, { INFRASAGE_DATABASE: '1st' });
      expect(codes).toEqual(['wrong_setting']);
      expect(checks.filter(({ status }) => status === 'skipped').length).toBe(checks.length - 1);
      box.file('infrasage.config.yaml', 'databse: x\n');
      const file = await doctor(box);
      expect(file.check('settings')?.findings[0]).toMatchObject({
        message: 'infrasage.config.yaml:1: there is no setting databse',
        fix: 'did you mean database?',
      });
      // A flag that is wrong is wrong usage.
      expect(await box.run(['--database', '1st', 'doctor'])).toMatchObject({ status: 2, stdout: '' });
    }));

  it('shows settings with their sources, and no secret', () =>
    withStore(async (box) => {
      box.file('.env', 'INFRASAGE_WEBHOOK_SECRET=hush-hush\nexport INFRASAGE_TENNANT=x\n');
      const env = {
        INFRASAGE_SMTP_URL: 'smtp://user:pass-word@127.0.0.1:1',
        SLACK_WEBHOOK_URL: 'https://hooks.slack.example/services/T0/B0/token',
        INFRASAGE_JWT_SECRET: 'j'.repeat(40),
        INFRASAGE_JWKS_URL: 'https://a-token@login.acme.example/keys',
        INFRASAGE_DATABSE: 'x',
      };
      const { check, codes, fix, stdout } = await doctor(box, env, '--offline');
      expect(codes).toEqual(['secrets_exposed', 'unknown_variable', 'unknown_variable', 'several_keys']);
      expect(check('settings')?.findings[1]).toMatchObject({
        message: '.env:2: INFRASAGE_TENNANT is set and is no setting',
        fix: 'correct or remove INFRASAGE_TENNANT; did you mean INFRASAGE_TENANT?',
      });
      expect(fix('secrets_exposed')).toBe('chmod 600 .env');
      expect(check('settings')?.findings[2]?.fix).toBe(
        'unset INFRASAGE_DATABSE; did you mean INFRASAGE_DATABASE?',
      );
      expect(stdout).not.toMatch(/hush-hush|pass-word|token|jjj/);
      expect(check('settings')?.details.settings).toContainEqual({
        name: 'alerts.webhook_secret',
        value: '…',
        source: '.env:1',
      });
      expect(check('settings')?.details.settings).toContainEqual({
        name: 'jwt.jwks_url',
        value: 'https://…@login.acme.example/keys',
        source: 'INFRASAGE_JWKS_URL',
      });
      expect(check('settings')?.details.settings).toContainEqual({
        name: 'alerts.smtp_url',
        value: 'smtp://user:…@127.0.0.1:1',
        source: 'INFRASAGE_SMTP_URL',
      });
    }));
});

describe('doctor on alerts and their channels', () => {
  let box: Sandbox;
  let mail: MailServer;
  let hook: Receiver;
  beforeAll(async () => {
    box = sandbox({ initialised: true });
    mail = await mailServer({ password: 'right' });
    hook = await receiver();
    const allow = { INFRASAGE_WEBHOOK_ALLOW_HOSTS: hook.host };
    await box.json(['quota', 'set', '1']);
    await box.json(
      ['alerts', 'add', '80', '--email', 'ops@acme.example', '--webhook', `${hook.url}/place-secret`],
      { env: allow },
    );
    await box.run(['ingest'], { stdin: lines(event({ timestamp: new Date().toISOString() })) });
  });
  afterAll(async () => {
    await box.remove();
    await mail.close();
    await hook.close();
  });

  const mailUrl = (password: string) => mail.url.replace('//', `//user:${password}@`);
  const env = () => ({
    INFRASAGE_WEBHOOK_ALLOW_HOSTS: hook.host,
    INFRASAGE_WEBHOOK_SECRET: 'key',
    INFRASAGE_SMTP_URL: mailUrl('right'),
    INFRASAGE_SMTP_FROM: 'infrasage@acme.example',
  });

  it('counts what is not delivered', async () => {
    const { check, fix } = await doctor(box, env(), '--offline');
    expect(check('alerts')?.details).toEqual({ waiting: 2, expired: 0 });
    expect(fix('undelivered_alerts')).toBe('infrasage alerts check; infrasage alerts undelivered shows each');
    expect(check('channels')?.summary).toBe('2 not tried (--offline)');
  });

  it('connects to each place and sends nothing', async () => {
    const { check } = await doctor(box, env());
    expect(check('channels')).toMatchObject({ status: 'ok', summary: '2 of 2 answer' });
    expect(mail.mails).toEqual([]);
    expect(hook.received).toEqual([]);
  });

  it('names what is not set, does not answer, or refuses the password', async () => {
    const unset = await doctor(box, {});
    expect(unset.codes.filter((code) => code === 'channel_not_set').length).toBe(3);
    const mend = 'export INFRASAGE_SMTP_URL=smtp://user:password@host:587';
    expect(unset.fix('channel_not_set')).toContain(`${mend}, or infrasage alerts add`);
    expect(unset.fix('undelivered_alerts')).toMatch(
      /^export INFRASAGE_SMTP_URL=.* INFRASAGE_SMTP_FROM=.* INFRASAGE_WEBHOOK_SECRET=.*, then infrasage alerts check; infrasage alerts undelivered shows each$/,
    );
    const port = await freePort();
    const away = await doctor(box, { ...env(), INFRASAGE_SMTP_URL: `smtp://127.0.0.1:${port}` });
    expect(away.check('channels')?.findings[0]?.message).toMatch(/email 127\.0\.0\.1:\d+: .*ECONNREFUSED/);
    const wrong = await doctor(box, { ...env(), INFRASAGE_SMTP_URL: mailUrl('wrong-one') });
    expect(wrong.codes).toContain('channel_unreachable');
    expect(wrong.stdout).not.toMatch(/wrong-one|place-secret/);
    const refused = await doctor(box, { ...env(), INFRASAGE_WEBHOOK_ALLOW_HOSTS: '' });
    expect(refused.check('channels')?.findings[0]?.message).toMatch(/webhook http:.*must be an https URL/);
  });
});

describe('doctor on a ClickHouse server', () => {
  let box: Sandbox;
  let server: ClickHouseServer;
  beforeAll(async () => {
    server = await ClickHouseServer.start({
      users: {
        reader: { password: 'r', grants: ['GRANT SELECT ON infrasage.*', 'GRANT SELECT ON system.*'] },
      },
    });
    box = sandbox();
  });
  afterAll(async () => {
    await box.remove();
    await server.remove();
  });

  it('makes nothing there, and names what is missing; then nothing is', async () => {
    const env = { INFRASAGE_CLICKHOUSE_URL: server.url };
    const empty = await doctor(box, env);
    expect(empty.codes).toEqual(['no_database']);
    expect(empty.fix('no_database')).toBe('infrasage init --database infrasage');
    const report = await box.run(['usage'], { env });
    expect(report).toMatchObject({ status: 3, stdout: '' });
    expect(report.stderr).toContain(
      `there is no infrasage database infrasage on the ClickHouse server at ${server.url}`,
    );
    expect(await server.sql("SELECT name FROM system.databases WHERE name = 'infrasage'")).toEqual([]);
    await box.json(['ingest'], { stdin: lines(event({ timestamp: new Date().toISOString() })), env });
    const made = await doctor(box, env);
    expect(made.codes).toEqual([]);
    expect(made.check('engine')?.summary).toMatch(/^ClickHouse server [\d.]+;/);
    expect(made.check('grants')?.summary).toBe('the user default has what it needs');
    expect(made.check('disk')?.details).toMatchObject({ events_per_day: 1 });
    expect(made.check('clock')?.summary).toMatch(/^within .* of the server's$/);
    expect(made.check('locks')?.summary).toMatch(/^nobody has one/);
  });

  it('names the grants that are missing', async () => {
    const env = { INFRASAGE_CLICKHOUSE_URL: server.urlOf('reader', 'r') };
    const { codes, fix } = await doctor(box, env);
    expect(new Set(codes)).toEqual(new Set(['missing_grant']));
    expect(fix('missing_grant')).toMatch(/GRANT \w+/);
  });

  it.each([
    ['a wrong password', () => server.urlOf('reader', 'wrong-one'), /refuses the user reader/],
    ['nobody there', () => 'http://127.0.0.1:1', /does not answer \(ECONNREFUSED\)/],
    ['no such host', () => 'http://nowhere.invalid:8123', /there is no host|does not answer/],
  ])('makes a finding of %s', async (_, url, words) => {
    const { check, codes, stdout } = await doctor(box, { INFRASAGE_CLICKHOUSE_URL: url() });
    expect(codes).toEqual(['not_opened']);
    expect(check('store')?.findings[0]?.message).toMatch(words);
    expect(stdout).not.toContain('wrong-one');
  });
});

describe('doctor on a cluster', () => {
  it('asks each node, and names one that is away', async () => {
    const pair = await startCluster();
    const box = sandbox();
    try {
      const env = { INFRASAGE_CLICKHOUSE_URL: pair[0]?.url };
      await box.json(['init', '--cluster', CLUSTER, ...pair.flatMap(({ url }) => ['--node', url])], { env });
      const both = await doctor(box, env);
      expect(both.codes).toEqual([]);
      expect(both.check('cluster')?.summary).toBe(`${CLUSTER}: 2 of 2 nodes answer`);
      // Of tenants enough that each node has some.
      const tenants = Array.from({ length: 40 }, (_, i) =>
        event({ tenant_id: `t${i}`, timestamp: new Date().toISOString() }),
      );
      await box.json(['ingest'], { env, stdin: lines(...tenants) });
      const { bytes_per_day, events_per_day } = (await doctor(box, env)).check('disk')?.details ?? {};
      expect(Number(events_per_day)).toBe(40);
      // A day's growth is all that has come: what is set, such as versions and quotas, is none.
      const grown = await Promise.all(
        pair.map(async (node) => {
          const [sum] = await node.sql<{ bytes: string }>(
            `SELECT sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND database = 'infrasage'
              AND match(table, '^infrasage_(raw_firehose|usage_metering|dlq|ingest_batches)_local$')`,
          );
          return Number(sum?.bytes);
        }),
      );
      for (const bytes of grown) expect(bytes).toBeGreaterThan(0);
      expect(Number(bytes_per_day) / grown.reduce((sum, bytes) => sum + bytes)).toBeCloseTo(1, 2);
      await pair[1]?.sql('DROP TABLE infrasage.infrasage_dlq_local SYNC');
      const without = await doctor(box, env);
      expect(without.check('cluster')?.findings).toEqual([
        {
          code: 'node_without_tables',
          message: `the node ${pair[1]?.url}/ of ${CLUSTER} has no infrasage_dlq_local`,
          fix: `infrasage init --cluster ${CLUSTER}, with --node for each as before`,
        },
      ]);
      await pair[1]?.kill();
      const one = await doctor(box, env);
      expect(one.codes).toContain('node_away');
      expect(one.check('cluster')?.summary).toBe(`${CLUSTER}: 1 of 2 nodes answer`);
    } finally {
      await box.remove();
      await Promise.all(pair.map((server) => server.remove()));
    }
  });
});

function holds(lock: string, pid: number): boolean {
  try {
    return (JSON.parse(readFileSync(lock, 'utf8')) as { pid: number }).pid === pid;
  } catch {
    return false;
  }
}
