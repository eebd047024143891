import { createHmac } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { hostname } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { webhookFault } from '../src/alerts/channels/address.ts';
import type { ChannelSettings, Sent } from '../src/alerts/channels/channel.ts';
import { webhookChannel } from '../src/alerts/channels/webhook.ts';
import type { Firing } from '../src/alerts/firings.ts';
import { type Digest, headline } from '../src/alerts/message.ts';
import { type Sandbox, sandbox, until } from './helpers/cli.ts';
import { withEngine } from './helpers/engine.ts';
import { event, lines } from './helpers/events.ts';
import { type MailServer, mailServer, type Receiver, receiver, status } from './helpers/receivers.ts';

/** The program against a real SMTP server and a real HTTP server. */
const SECRET = 'a-webhook-secret-of-the-test';
const SLACK_PATH = '/services/T000/B000/slack-secret';

let box: Sandbox;
let mail: MailServer;
let http: Receiver;
beforeEach(async () => {
  box = sandbox({ initialised: true });
  mail = await mailServer();
  http = await receiver();
});
afterEach(async () => {
  await box.remove();
  await mail.close();
  await http.close();
});

const env = (more: Record<string, string> = {}) => ({
  INFRASAGE_SMTP_URL: mail.url,
  INFRASAGE_SMTP_FROM: 'InfraSage <billing@infrasage.example>',
  SLACK_WEBHOOK_URL: `${http.url}${SLACK_PATH}`,
  SLACK_CHANNEL: '#usage',
  INFRASAGE_WEBHOOK_SECRET: SECRET,
  INFRASAGE_WEBHOOK_ALLOW_HOSTS: http.host,
  ...more,
});

const WEBHOOK = ['--webhook', '/hook?token=in-the-url'];
const EVERYWHERE = ['--email', 'ops@acme.example', '--slack', ...WEBHOOK];

/** Stores alerts at these percents, and a quota of 100 events a month. */
async function alertsAt(percents: number[], channels: string[]): Promise<void> {
  await box.json(['quota', 'set', '100']);
  const to = channels.map((part) => (part.startsWith('/hook') ? `${http.url}${part}` : part));
  for (const percent of percents) await box.json(['alerts', 'add', String(percent), ...to], { env: env() });
}

/** This many events of now. */
const events = (count: number, fields: Record<string, unknown> = {}) =>
  lines(...Array.from({ length: count }, () => event({ timestamp: new Date().toISOString(), ...fields })));

interface CheckJson {
  fired: { threshold_percent: number; used: number; quota: number }[];
  deliveries: { channel: string; outcome: string; detail: string }[];
  waiting: number;
}

async function check(more: Record<string, string> = {}): Promise<CheckJson & { status: number | null }> {
  const { status, stdout } = await box.run(['alerts', 'check', '--json'], { env: env(more) });
  return { status, ...(JSON.parse(stdout) as CheckJson) };
}

/** The decoded text of a mail: quoted-printable undone. */
const decoded = (raw: string) =>
  raw
    .replace(/=\r\n/g, '')
    .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

it('an ingest that crosses 50, 80 and 95 sends one message a channel, with the right figures', async () => {
  await alertsAt([50, 80, 95], EVERYWHERE);
  const ingested = await box.run(['ingest'], { stdin: events(96), env: env() });
  expect(ingested.status).toBe(0);
  const line = (percent: number) =>
    new RegExp(
      `acme-corp has reached ${percent} % of its quota of \\d{4}-\\d\\d\\W+.*96 of 100 events used \\(96 %\\); \\d+ days? left in the month; at this pace`,
      's',
    );
  for (const percent of [50, 80, 95]) expect(ingested.stderr).toMatch(line(percent));

  expect(mail.mails).toHaveLength(1);
  const [{ from, to, raw } = { from: '', to: [], raw: '' }] = mail.mails;
  expect([from, to]).toEqual(['billing@infrasage.example', ['ops@acme.example']]);
  expect(raw).toMatch(
    /^Subject: infrasage: acme-corp has reached 95 % of its quota of \d{4}-\d\d and\r\n 2 more\r\n/m,
  );
  expect(raw).toMatch(/^Content-Type: multipart\/alternative/m);
  for (const percent of [50, 80, 95]) expect(decoded(raw)).toMatch(line(percent));

  const slack = http.received.filter(({ path }) => path === SLACK_PATH);
  expect(slack).toHaveLength(1);
  const posted = JSON.parse(slack[0]?.body ?? '{}') as { channel: string; text: string; blocks: object[] };
  expect(posted).toMatchObject({
    channel: '#usage',
    text: expect.stringContaining('acme-corp has reached 95 %'),
  });
  expect(posted.blocks).toHaveLength(4);

  const hooks = http.received.filter(({ path }) => path === '/hook?token=in-the-url');
  expect(hooks).toHaveLength(1);
  const { body = '', headers = {} } = hooks[0] ?? {};
  const alerts = (JSON.parse(body) as { alerts: object[] }).alerts;
  expect(alerts).toMatchObject(
    [95, 80, 50].map((percent) => ({ threshold_percent: percent, used: 96, quota: 100 })),
  );
  const [, t = '', v1] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['infrasage-signature'])) ?? [];
  expect(v1).toBe(createHmac('sha256', SECRET).update(`${t}.${body}`).digest('hex'));
  // The same key in every channel's own place, one a message.
  expect(headers['idempotency-key']).toMatch(/^[0-9a-f]{32}$/);

  expect(await check()).toMatchObject({ status: 0, fired: [], deliveries: [], waiting: 0 });
  expect([mail.mails.length, http.received.length]).toEqual([1, 2]);
});

it('what could not be sent is sent by the next check, and nothing twice', async () => {
  await alertsAt([80], EVERYWHERE);
  // A mail server that is down, a 500, and a connection that is cut.
  http.answers.push(status(500), (response) => response.destroy());
  const down = { INFRASAGE_SMTP_URL: 'smtp://127.0.0.1:9' };
  const ingested = await box.run(['ingest'], { stdin: events(90), env: env(down) });
  expect(ingested).toMatchObject({ status: 0, stdout: expect.stringContaining('90 accepted') });
  expect(ingested.stderr).toContain('3 messages are not delivered');
  expect(ingested.stderr).toContain('infrasage alerts check tries again');

  // The first pause is a second or so.
  let last = await check();
  while (last.waiting > 0) last = await check();
  expect(last.status).toBe(0);
  expect(mail.mails).toHaveLength(1);
  expect(http.received.map(({ path }) => path).sort()).toEqual([
    '/hook?token=in-the-url',
    '/hook?token=in-the-url',
    SLACK_PATH,
    SLACK_PATH,
  ]);
  const keys = http.received.map(({ path, headers }) => `${path} ${headers['idempotency-key']}`);
  expect(new Set(keys).size).toBe(2);

  const { alerts } = await box.json<{
    alerts: {
      deliveries: { channel: string; target: string; attempts: { outcome: string; detail: string }[] }[];
    }[];
  }>(['alerts', 'history']);
  expect(alerts).toHaveLength(1);
  for (const { attempts } of alerts[0]?.deliveries ?? []) {
    expect(attempts.map(({ outcome }) => outcome)).toEqual(['failed', 'delivered']);
  }
  const details = alerts[0]?.deliveries.map(
    ({ channel, target, attempts }) => `${channel} ${target} ${attempts[0]?.detail}`,
  );
  expect(details?.sort()).toEqual([
    expect.stringMatching(/^email ops@acme\.example .*ECONNREFUSED/),
    expect.stringMatching(/^slack {2}/),
    expect.stringMatching(new RegExp(`^webhook ${http.url} `)),
  ]);
  expect(details?.join()).toContain('the server answered 500: status 500');
});

it('429 is taken at its word; a redirect is not followed', async () => {
  await alertsAt([80], WEBHOOK);
  http.answers.push(status(429, { 'retry-after': '3600' }));
  await box.run(['ingest', '--no-alerts'], { stdin: events(80) });
  expect(http.received).toHaveLength(0);
  expect(await check()).toMatchObject({ status: 1, waiting: 1, deliveries: [{ outcome: 'failed' }] });
  expect(await check()).toMatchObject({ status: 1, waiting: 1, deliveries: [] });
  expect(http.received).toHaveLength(1);

  await box.json(['alerts', 'add', '90', '--webhook', `${http.url}/hook`], { env: env() });
  http.answers.push(status(302, { location: `${http.url}/elsewhere` }));
  await box.run(['ingest', '--no-alerts'], { stdin: events(10, { value: 1 }) });
  const { deliveries } = await check();
  expect(deliveries).toMatchObject([
    { detail: expect.stringContaining('answered 302, and redirects are not followed') },
  ]);
  expect(http.received.map(({ path }) => path)).not.toContain('/elsewhere');
});

interface Undelivered {
  messages: { message_id: string; channel: string; state: string; attempts: number }[];
}

/** Runs one of the commands for undelivered messages, now or so many ms later. */
async function byHand<T = object>(args: string[], { later = 0 }: { later?: number } = {}) {
  const now = new Date(Date.now() + later);
  const { status, stdout, stderr } = await box.run(['alerts', ...args, '--json'], { env: env(), now });
  return { status, stderr, ...(JSON.parse(stdout || '{}') as Partial<T>) };
}

it('what cannot be delivered is sent again by hand at once, or dropped with the reason; the history has both', async () => {
  await alertsAt([80], ['--slack', ...WEBHOOK]);
  const busy = () => status(429, { 'retry-after': '3600' });
  http.answers.push(busy(), busy());
  await box.run(['ingest'], { stdin: events(80), env: env() });
  const { messages = [] } = await byHand<Undelivered>(['undelivered']);
  const [slack = '', webhook = ''] = ['slack', 'webhook'].map(
    (name) => messages.find(({ channel, state }) => channel === name && state === 'waiting')?.message_id,
  );
  expect(await check()).toMatchObject({ deliveries: [], waiting: 2 });
  const before = http.received.length;
  expect(await byHand(['retry', slack])).toMatchObject({
    status: 0,
    deliveries: [{ message_id: slack, channel: 'slack', attempt: 2, outcome: 'delivered' }],
  });
  expect(http.received.slice(before).map(({ headers }) => headers['idempotency-key'])).toEqual([slack]);

  const reason = 'told by telephone';
  expect(await byHand(['drop', webhook, '--reason', reason])).toMatchObject({
    status: 0,
    dropped: [{ message_id: webhook, channel: 'webhook', target: http.url, reason }],
  });
  expect(await check()).toMatchObject({ status: 0, deliveries: [], waiting: 0 });
  expect(await byHand(['undelivered'])).toMatchObject({ status: 0, messages: [] });
  const left = await byHand<Undelivered>(['undelivered', '--dropped']);
  expect(left).toMatchObject({ status: 0, messages: [{ message_id: webhook, state: 'dropped' }] });
  const doctor = await box.run(['doctor', '--offline', '--json'], { env: env() });
  expect(doctor.stdout).not.toContain('undelivered_alerts');
  const { alerts } = await box.json<{ alerts: { deliveries: object[] }[] }>(['alerts', 'history']);
  expect(alerts[0]?.deliveries).toMatchObject([
    { delivered: true, attempts: [{ outcome: 'failed' }, { outcome: 'delivered' }] },
    { delivered: false, attempts: [{ outcome: 'failed' }, { outcome: 'dropped', detail: reason }] },
  ]);
  // A change of mind, and nothing that has arrived is sent again.
  expect(await byHand(['retry', webhook])).toMatchObject({
    deliveries: [{ attempt: 3, outcome: 'delivered' }],
  });
  const sent = http.received.length;
  expect(await byHand(['retry', webhook])).toMatchObject({
    status: 2,
    stderr: expect.stringContaining(webhook),
  });
  expect(await byHand(['retry', '--all'])).toMatchObject({ status: 0, deliveries: [] });
  expect(http.received.length).toBe(sent);
  for (const args of [['retry'], ['drop', '--reason', 'x'], ['drop', '--all'], ['retry', '--all', webhook]])
    expect(await byHand(args)).toMatchObject({ status: 2 });
});

it('a message that was given up after 72 hours is a finding until it is sent by hand or dropped', async () => {
  await alertsAt([80], WEBHOOK);
  http.answers.push(status(500), status(500));
  await box.run(['ingest'], { stdin: events(80), env: env() });
  const later = 73 * 3_600_000;
  const only = async () => (await byHand<Undelivered>(['undelivered'], { later })).messages ?? [];
  await byHand(['check'], { later });
  const [{ message_id: id = '' } = {}] = await only();
  expect(await only()).toMatchObject([{ state: 'expired', attempts: 2 }]);
  // It fails once more: given up still, and not tried by itself.
  const retried = await byHand(['retry', '--all'], { later });
  expect(retried).toMatchObject({ status: 1, deliveries: [{ attempt: 3, outcome: 'expired' }] });
  expect(await byHand(['check'], { later })).toMatchObject({ status: 0, deliveries: [], waiting: 0 });
  expect(http.received).toHaveLength(2);

  // While another process has it, it is left to that; not for ever.
  await box.sql(`INSERT INTO infrasage.infrasage_alert_deliveries (message_id, attempt, revision, channel, outcome, started_at, next_at)
    SELECT '${id}', 4, 1, 'webhook', 'sending', now64(3) + INTERVAL 73 HOUR, now64(3) + INTERVAL 74 HOUR`);
  expect(await byHand(['drop', id, '--reason', 'x'], { later })).toMatchObject({ status: 1, dropped: [] });
  expect(await byHand(['retry', id], { later })).toMatchObject({ status: 0, deliveries: [] });
  expect(await only()).toMatchObject([{ state: 'sending' }]);
  const after = later + 60_000;
  expect(await byHand(['retry', id], { later: after })).toMatchObject({
    status: 0,
    deliveries: [{ attempt: 5, outcome: 'delivered' }],
  });
  expect(await only()).toEqual([]);
});

it('an answer is nothing to trust: a pause for ever holds up nobody else, and a secret that is echoed is not shown', async () => {
  await alertsAt([80], ['--slack']);
  await box.json(
    ['alerts', 'add', '90', ...WEBHOOK.map((part) => part.replace('/hook', `${http.url}/hook`))],
    {
      env: env(),
    },
  );
  const echo = (response: ServerResponse) =>
    response.writeHead(429, { 'retry-after': '1000000000000' }).end(`Cannot POST ${response.req.url}`);
  http.answers.push(echo, echo);
  const ingested = await box.run(['ingest'], { stdin: events(95), env: env() });
  expect(ingested.stderr).toContain('2 messages are not delivered');
  expect(ingested.stderr).toContain('the server answered 429: Cannot POST …');
  expect(ingested.stderr).not.toMatch(/slack-secret|in-the-url/);
  expect(await check()).toMatchObject({ status: 1, deliveries: [], waiting: 2 });
});

it('a mail server that says nothing and a channel that never answers hold up neither the others nor the ingest', async () => {
  const silent = createServer(() => {});
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  await alertsAt([80], EVERYWHERE);
  const butSlack = (response: ServerResponse) => void (response.req.url === SLACK_PATH || response.end('ok'));
  http.answers.push(butSlack, butSlack);
  const running = box.start(['ingest'], {
    env: env({ INFRASAGE_SMTP_URL: `smtp://127.0.0.1:${port}` }),
  });
  running.stdin.end(events(90));
  // The webhook is there while mail and Slack are still waited for.
  await until(() => http.received.some(({ path }) => path.startsWith('/hook')));
  expect(running.child.exitCode).toBeNull();
  // The mail server's own limit is minutes; the attempt's is ten seconds.
  const { status: ended, stdout, stderr } = await running.done;
  expect(ended).toBe(0);
  expect(stdout).toContain('90 accepted');
  expect(stderr).toMatch(/2 messages are not delivered \((email|slack): .*time.*\)/);
  silent.close();
});

it('two checks at once send one message', async () => {
  await alertsAt([80], ['--email', 'ops@acme.example']);
  await box.run(['ingest', '--no-alerts'], { stdin: events(90) });
  const results = await Promise.all([0, 1, 2].map(() => box.apart(['alerts', 'check'], { env: env() })));
  // Who finds the directory in use says so.
  for (const result of results) expect([0, 3]).toContain(result.status);
  await check();
  expect(mail.mails).toHaveLength(1);
});

it('serve evaluates and sends by itself; checks at once beside it send one message', async () => {
  await alertsAt([80], ['--email', 'ops@acme.example']);
  await box.run(['ingest', '--no-alerts'], { stdin: events(90) });
  const serving = box.start(['serve', '--port', '0'], {
    env: env({ INFRASAGE_JWT_SECRET: 'c0ffee'.repeat(11) }),
  });
  await until(() => mail.mails.length > 0 || serving.child.exitCode !== null);
  expect(mail.mails).toHaveLength(1);

  await box.json(['alerts', 'add', '95', '--slack'], { env: env() });
  await box.run(['ingest', '--no-alerts'], { stdin: events(10, { value: 1 }) });
  const results = await Promise.all([0, 1, 2].map(() => box.apart(['alerts', 'check'], { env: env() })));
  expect(results.map((result) => result.status)).toEqual([0, 0, 0]);
  await until(() => http.received.length > 0);
  serving.child.kill('SIGTERM');
  const { status: ended, stderr } = await serving.done;
  expect(ended).toBe(0);
  expect(stderr).toMatch(/"level":"(info|warn)".*"msg":"alert: acme-corp has reached 80 % of its quota/);
  expect([mail.mails.length, http.received.length]).toEqual([1, 1]);
});

it('names that would be headers, mentions, markup or controls are neutralised in every channel', async () => {
  const hostile = 'x\r\nBcc: evil@example.com\r\n\r\n<!channel> <@U123> <b>&\u001b[31m\u202e*bold*';
  await alertsAt([1], EVERYWHERE);
  await withEngine(box.dataDir, (sql) => {
    const text = Buffer.from(hostile).toString('hex');
    sql(`INSERT INTO infrasage.infrasage_raw_firehose (tenant_id, timestamp, event_type, service_id)
      SELECT unhex('${text}'), now(), 'metric', 's' FROM numbers(5)`);
  });
  const checked = await box.run(['alerts', 'check'], { env: env() });
  expect(checked.status).toBe(0);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  expect(checked.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
  const raw = mail.mails[0]?.raw ?? '';
  expect(raw).not.toMatch(/^Bcc:/im);
  expect(mail.mails[0]?.to).toEqual(['ops@acme.example']);
  const html = decoded(raw).slice(decoded(raw).indexOf('<!doctype html>'));
  expect(html).toContain('&#60;b&#62;');
  expect(html).not.toContain('<b>');
  const slack = http.received.find(({ path }) => path === SLACK_PATH)?.body ?? '';
  expect(slack).not.toMatch(/<!channel>|<@U123>|\\u001b|\u202e/);
  expect(slack).toContain('&lt;!channel&gt;');
  const hook = http.received.find(({ path }) => path.startsWith('/hook'))?.body ?? '';
  // A webhook's text is safe to print; its fields are the data as it is.
  expect(JSON.parse(hook)).toMatchObject({
    text: expect.not.stringMatching(/\p{Cc}/u),
    alerts: [{ tenant_id: hostile }],
  });

  for (const address of [
    'ops@acme.example\r\nBcc: evil@example.com',
    'a@b.example,evil@example.com',
    'ops',
  ]) {
    const refused = await box.run(['alerts', 'add', '80', '--email', address]);
    expect(refused).toMatchObject({ status: 2, stdout: '' });
  }
});

it('secrets are in no output, however a channel fails', async () => {
  const closed = await mailServer({ password: 'right' });
  try {
    await alertsAt([80], EVERYWHERE);
    const secrets = ['smtp-secret', 'slack-secret', SECRET, 'in-the-url'];
    const failing = {
      INFRASAGE_SMTP_URL: closed.url.replace('//', '//user:smtp-secret@'),
      SLACK_WEBHOOK_URL: `http://127.0.0.1:9${SLACK_PATH}`,
      INFRASAGE_WEBHOOK_ALLOW_HOSTS: '',
    };
    const outputs = [
      await box.run(['ingest', '--debug'], { stdin: events(90), env: env(failing) }),
      await box.run(['alerts', 'check', '--debug', '--json'], { env: env(failing) }),
      await box.run(['alerts', 'test', '80', '--debug'], { env: env(failing) }),
      await box.run(['alerts', 'history', '--json']),
      await box.run(['alerts', 'history']),
    ];
    const text = outputs.map(({ stdout, stderr }) => stdout + stderr).join('\n');
    expect(text).toContain('the webhook must be an https URL');
    expect(text).toMatch(/Invalid login/);
    for (const secret of secrets) expect(text).not.toContain(secret);
  } finally {
    await closed.close();
  }
});

it('alerts test sends a message marked as a test to each channel, and says how it went', async () => {
  await alertsAt([80], EVERYWHERE);
  const tried = await box.run(['alerts', 'test', '80'], { env: env() });
  expect(tried.status).toBe(0);
  expect(tried.stdout.match(/delivered/g)).toHaveLength(3);
  expect(mail.mails[0]?.raw).toContain('Subject: [test] infrasage: any tenant has reached 80 %');
  const text = decoded(mail.mails[0]?.raw ?? '');
  expect(text).toContain('80 of 100 events used');
  expect(text).toMatch(/\r\n\r\nThis is a test\r\n {2}sent by infrasage alerts test: nothing has fired/);
  http.answers.push(status(500), status(500));
  expect((await box.run(['alerts', 'test', '80'], { env: env() })).status).toBe(1);
  // A test that failed is not tried again.
  expect(await check()).toMatchObject({ status: 0, deliveries: [], waiting: 0 });
  expect((await box.run(['alerts', 'history'])).stdout).toContain('[test]');
  expect(await box.run(['alerts', 'test', '81'])).toMatchObject({ status: 2 });
  // The figures are those of the quota there is.
  await box.json(['quota', 'unset']);
  await box.json(['quota', 'set', '--bytes', '1000']);
  await box.run(['alerts', 'test', '80'], { env: env() });
  expect(decoded(mail.mails.at(-1)?.raw ?? '')).toContain('800.00 B of 1000.00 B stored used (80 %)');
});

it('without channels an alert fires to the terminal and the history, and reports show it', async () => {
  await box.json(['quota', 'set', '100']);
  await box.json(['alerts', 'add', '80']);
  const report = async (...args: string[]) => (await box.run(args)).stdout;
  const ingested = await box.run(['ingest'], { stdin: events(79) });
  expect(ingested.stderr).toBe('');
  expect(await report('usage')).toContain(
    'Quota of acme-corp: 79 of 100 events used (79 %); alerts at 80 % (80)',
  );
  expect((await box.run(['ingest'], { stdin: events(1, { value: 2 }) })).stderr).toMatch(
    /^Alert: acme-corp has reached 80 % .*: 80 of 100 events used \(80 %\); \d+ days? left/,
  );
  for (const args of [['usage'], ['billing', '--month']]) {
    expect(await report(...args)).toContain('80 of 100 events used (80 %); alerts at 80 % (reached)');
  }
  expect(await report('alerts', 'history')).toContain('acme-corp has reached 80 %');
  expect(await box.run(['alerts', 'check'])).toEqual({ status: 0, stdout: '', stderr: 'No new alert.\n' });
  expect(await box.run(['alerts', 'check', '--quiet'])).toEqual({ status: 0, stdout: '', stderr: '' });
});

it('the table says when each alert fires and whom it tells; other formats have both as columns', async () => {
  await alertsAt([80], []);
  await box.json(['alerts', 'add', '95', ...EVERYWHERE.slice(0, 3), '--tenant', 'acme-corp']);
  await box.json([
    'alerts',
    'add',
    '--silent-for',
    '2h',
    '--service',
    'pay',
    '--webhook',
    'https://h.example/x',
  ]);
  const listed = await box.run(['alerts', 'list']);
  expect(listed.stdout.split('\n').map((line) => line.replace(/^[0-9a-f]{12} +/, '').trimEnd())).toEqual([
    'Id            Tenant (- = any)  Fires              Tells',
    '-                 at 80 %            -',
    '-                 pay silent for 2h  https://h.example/x',
    'acme-corp         at 95 %            ops@acme.example, Slack',
    '',
  ]);
  const { stdout } = await box.run(['alerts', 'list', '--format', 'csv']);
  expect(stdout).toContain(',acme-corp,95,ops@acme.example,true,,,\n');
  // Also in a pipe, whole.
  const url = `https://h.example/${'x'.repeat(90)}`;
  await box.json(['alerts', 'add', '60', '--webhook', url]);
  expect((await box.run(['alerts', 'list'])).stdout).toContain(` ${url}\n`);
});

it('alerts simulate says when thresholds would have been reached, stored ones or others', async () => {
  const at = (month: string, day: number, count: number) =>
    lines(
      ...Array.from({ length: count }, () =>
        event({ timestamp: `${month}-${String(day).padStart(2, '0')}T10:15:00Z` }),
      ),
    );
  const now = new Date();
  const month = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1)).toISOString().slice(0, 7);
  await box.run(['ingest'], { stdin: at(month, 3, 40) + at(month, 10, 30) + at(month, 20, 30) });
  await box.json(['quota', 'set', '100']);
  await box.json(['alerts', 'add', '70']);
  interface Simulated {
    would_have_fired: { month: string; threshold_percent: number; reached_at: string; used: number }[];
  }
  const fired = async (...args: string[]) =>
    (await box.json<Simulated>(['alerts', 'simulate', ...args])).would_have_fired.map(
      ({ threshold_percent, reached_at, used }) => [threshold_percent, reached_at.slice(0, 13), used],
    );
  expect(await fired()).toEqual([[70, `${month}-10T10`, 70]]);
  expect(await fired('40', '40.01', '100', '101')).toEqual([
    [40, `${month}-03T10`, 40],
    [40.01, `${month}-10T10`, 70],
    [100, `${month}-20T10`, 100],
  ]);
  expect(await fired('--months', '1')).toEqual([]);
});

it('a silence is told, and so is its end', async () => {
  await box.json([
    'alerts',
    'add',
    '--silent-for',
    '2h',
    '--service',
    'checkout-api',
    '--email',
    'ops@acme.example',
  ]);
  const old = new Date(Date.now() - 3 * 3_600_000).toISOString();
  await box.run(['ingest'], { stdin: lines(event({ timestamp: old })), env: env() });
  await box.run(['ingest'], { stdin: events(1), env: env() });
  const subjects = mail.mails.map(({ raw }) =>
    /^Subject: (.*(?:\r\n .*)*)/m.exec(raw)?.[1]?.replaceAll('\r\n', ''),
  );
  // How long it is so far, however long the run took; below, after how long the alert was to fire.
  expect(subjects).toEqual([
    expect.stringMatching(
      /^infrasage: the service checkout-api of acme-corp has sent nothing for 3h( \d+m)?$/,
    ),
    'infrasage: the service checkout-api of acme-corp is sending again',
  ]);
  expect(decoded(mail.mails[0]?.raw ?? '')).toContain('; alert after 2h without events');
});

it.each([
  [45, '45s'],
  [52 * 60 + 59, '52m'],
  [7_200, '2h'],
  [3 * 3_600 + 2 * 60, '3h 2m'],
  [3 * 3_600 + 2, '3h'],
  [2 * 86_400 + 3_600, '2d 1h'],
])('a silence of %d seconds is told as %s', (seconds, words) => {
  const lastEventAt = new Date('2026-11-24T12:00:00Z');
  const firing = {
    ...{
      kind: 'silent',
      tenantId: 'acme',
      usage: null,
      silence: { serviceId: '', seconds: 30, lastEventAt },
    },
    firedAt: new Date(lastEventAt.getTime() + seconds * 1000),
  } as unknown as Firing;
  expect(headline(firing)).toBe(`acme has sent nothing for ${words}`);
});

describe('webhooks that a tenant sets', () => {
  it.each([
    ['http://hooks.example/x', 'must be an https URL'],
    ['https://user:password@hooks.example/x', 'must have no user and password in its URL'],
    ['https://localhost/x', 'must not name this machine'],
    ['https://127.0.0.1/x', 'must not name the private address 127.0.0.1'],
    ['https://2130706433/x', 'must not name the private address 127.0.0.1'],
    ['https://0x7f.1/x', 'must not name the private address 127.0.0.1'],
    ['https://10.1.2.3/x', 'must not name the private address 10.1.2.3'],
    ['https://169.254.169.254/latest', 'must not name the private address 169.254.169.254'],
    ['https://[::1]/x', 'must not name the private address ::1'],
    ['https://[::ffff:10.0.0.1]/x', 'must not name the private address ::ffff:a00:1'],
    ['https://[fd00::1]/x', 'must not name the private address fd00::1'],
    ['https://0.0.0.0/', 'must not name the private address 0.0.0.0'],
    ['https://[::2]/x', 'must not name the private address ::2'],
    ['https://[4000::1]/x', 'must not name the private address 4000::1'],
    ['file:///etc/passwd', 'must be an https URL'],
    ['hooks.example', 'must be a URL'],
  ])('%s is refused', (url, fault) => {
    expect(webhookFault(url, [])).toBe(fault);
  });

  it('are taken where they are public, or allowed by name', () => {
    expect(webhookFault('https://hooks.example/x?y=1', [])).toBeUndefined();
    expect(webhookFault('http://127.0.0.1:9000/', ['127.0.0.1:9000'])).toBeUndefined();
    expect(webhookFault('http://127.0.0.1:9001/', ['127.0.0.1:9000'])).toBeDefined();
    expect(webhookFault('http://Hooks.Internal./', ['hooks.internal'])).toBeUndefined();
    expect(webhookFault('https://hooks.internal/', ['hooks.internal:443'])).toBeUndefined();
    expect(webhookFault('https://[2606:4700::1]/', [])).toBeUndefined();
  });

  it('are not connected to where their name resolves to a private address', async () => {
    const name = hostname();
    const { address } = await lookup(name);
    const settings = { webhookSecret: SECRET, webhookAllowHosts: [] } as unknown as ChannelSettings;
    const digest: Digest = { id: 'd', firings: [], test: false };
    const sent: Sent = await webhookChannel(settings).send(digest, `https://${name}/`, {
      now: new Date(),
      signal: AbortSignal.timeout(5_000),
    });
    expect(sent).toMatchObject({
      delivered: false,
      detail: expect.stringContaining(`${name} is the private address ${address}`),
    });
  });
});
