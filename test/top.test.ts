import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { takeLock } from '../src/store/lock.ts';
import { openStore, openToShare } from '../src/store/open.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { activeCharacters } from './helpers/formats.ts';
import { releaseEngine } from './helpers/kept-engine.ts';
import { beside } from './helpers/sharing.ts';
import { type OnTerminal, onTerminal } from './helpers/terminal.ts';

/** What a terminal would act on, or would show elsewhere than it belongs. */
const HOSTILE = '\u202Egnp.\u2066exe 端末端末 \u{1F600}';

let box: Sandbox;

beforeAll(async () => {
  box = sandbox({ initialised: true });
  await ingest(60, 'first');
  await box.json(['quota', 'set', '1000', '--tenant', 'acme-corp']);
  await box.json(['alerts', 'add', '80', '--tenant', 'acme-corp']);
});
afterAll(() => box.remove());

/** Events of now, so that they count toward this month; of three tenants, one with few but long ones. */
async function ingest(count: number, name: string): Promise<void> {
  const timestamp = new Date().toISOString();
  const events = Array.from({ length: count }, (_, i) =>
    event({ timestamp, event_type: i % 3 === 0 ? 'log' : 'metric', service_id: `${name}-${i % 4}` }),
  );
  const others = [
    ...Array.from({ length: 12 }, () => event({ timestamp, tenant_id: HOSTILE, service_id: HOSTILE })),
    event({ timestamp, tenant_id: 'verbose', event_type: 'log', body: 'x'.repeat(100_000) }),
  ];
  const bad = [event({ timestamp, value: 'much' }), '{'];
  const { status } = await box.run(['ingest', '--allow-duplicates'], {
    stdin: lines(...events, ...others, ...bad),
  });
  expect(status).toBe(0);
}

interface TopJson {
  window_seconds: number;
  events: number;
  course: number[];
  by_tenant: { tenant_id: string; events: number; events_per_second: number }[];
  by_type: { event_type: string; events: number }[];
  by_service: { tenant_id: string; service_id: string; events: number }[];
  dead_letters: { error: string; lines: number; lines_24h: number }[];
  quotas: { tenant_id: string; used: number; quota: number }[];
}

/** Gives the terminal back, ended fine, and left nothing of its own on it. */
async function gone(terminal: OnTerminal): Promise<void> {
  expect(await terminal.ended).toEqual({ status: 0, restored: true });
  expect(terminal.isTaken()).toBe(false);
  expect(terminal.written().trimEnd().endsWith('\u001b[?25h\u001b[?1049l')).toBe(true);
}

describe('one look', () => {
  test('has the rates of the window by tenant, type and service, the dead letters and the limits', async () => {
    const found = await box.json<TopJson>(['top', '--once']);
    expect(found.window_seconds).toBe(60);
    expect(found.events).toBe(73);
    expect(found.course.reduce((sum, events) => sum + events, 0)).toBe(73);
    expect(found.by_tenant.map(({ tenant_id, events }) => [tenant_id, events])).toEqual([
      ['acme-corp', 60],
      [HOSTILE, 12],
      ['verbose', 1],
    ]);
    expect(found.by_tenant[0]?.events_per_second).toBe(1);
    expect(found.by_type.map(({ event_type, events }) => [event_type, events])).toEqual([
      ['metric', 52],
      ['log', 21],
    ]);
    expect(found.by_service[0]).toMatchObject({ tenant_id: 'acme-corp', service_id: 'first-0', events: 15 });
    expect(found.dead_letters).toEqual([
      { error: 'invalid_json', lines: 1, lines_24h: 1 },
      { error: 'invalid_value', lines: 1, lines_24h: 1 },
    ]);
    expect(found.quotas).toEqual([
      expect.objectContaining({ tenant_id: 'acme-corp', dimension: 'events', used: 60, quota: 1000 }),
    ]);
  });

  test('is of one tenant where one is named', async () => {
    const found = await box.json<TopJson>(['top', '--once', '--tenant', 'acme-corp']);
    expect(found.events).toBe(60);
    expect(found.by_tenant).toHaveLength(1);
    expect(found.dead_letters).toEqual([{ error: 'invalid_value', lines: 1, lines_24h: 1 }]);
  });

  test('is what is printed where there is no terminal, inert and within 80 columns', async () => {
    const { status, stdout, stderr } = await box.run(['top']);
    expect(status).toBe(0);
    expect(stderr).toBe('');
    expect(activeCharacters(stdout)).toEqual([]);
    expect(stdout).toMatch(/^acme-corp +1\.0 +/m);
    expect(stdout).toMatch(/^gnp\.exe 端末端末 😀 +0\.2 +/m);
    expect(stdout).toMatch(/^invalid_value +1 +1$/m);
    expect(stdout).toMatch(/^acme-corp +█+.?·+┊·+┃ +6 % +60 of 1,000 events$/m);
  });

  test('is rows for programs', async () => {
    const { stdout } = await box.run(['top', '--format', 'ndjson', '--sort', 'bytes']);
    const rows = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rows[0]).toMatchObject({ by: 'tenant_id', name: 'verbose', events: 1 });
    expect(new Set(rows.map(({ by }) => by))).toEqual(new Set(['tenant_id', 'event_type', 'service_id']));
  });

  test.each([
    ['--interval', '10ms', /--interval 10ms is not a time/],
    ['--interval', 'soon', /--interval soon is not a time/],
    ['--sort', 'luck', /--sort luck is not an order/],
  ])('refuses %s %s', async (option, value, words) => {
    const { status, stderr } = await box.run(['top', option, value]);
    expect(status).toBe(2);
    expect(stderr).toMatch(words);
  });
});

describe('on a terminal', () => {
  test('shows what is going on, sorts by key, takes the size that there is, and gives the terminal back', async () => {
    await ingest(4, 'shown');
    const terminal = onTerminal(box, ['top', '--interval', '500ms']);
    await terminal.shows(/^acme-corp +\d/m);
    expect(terminal.isTaken()).toBe(true);
    expect(terminal.lines()[0]).toMatch(
      /^infrasage top: all tenants · stored in the last 60 s, by events · /,
    );
    expect(terminal.lines().at(-1)).toMatch(/^q quit/);
    terminal.press('b');
    await terminal.shows(/by bytes(.|\n)*Tenant.*\nverbose/);
    terminal.press('p');
    await terminal.shows(/^paused {3}q quit .* {3}p go on {3}space now$/m);
    terminal.press('p');
    await terminal.shows(/^q quit .* {3}p pause {3}space now$/m);
    terminal.press('p');
    await terminal.shows(/^paused/m);
    terminal.resize(50, 12);
    await terminal.shows(/^paused/m);
    expect(terminal.lines()).toHaveLength(12);
    terminal.press('q');
    await gone(terminal);
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('gives it back on %s', async (name) => {
    const terminal = onTerminal(box, ['top']);
    await terminal.shows(/acme-corp/);
    terminal.signal(name);
    await gone(terminal);
  });

  test('says an error after it has given the terminal back', async () => {
    const terminal = onTerminal({ ...box, dataDir: `${box.folder}/nowhere` }, ['top']);
    expect(await terminal.ended).toEqual({ status: 3, restored: true });
    expect(terminal.isTaken()).toBe(false);
    expect(terminal.lines().join('\n')).toMatch(/there is no infrasage data in/);
  });

  test('beside serve, and with commands that ingest meanwhile', async () => {
    await beside(box.dataDir, async () => {
      const terminal = onTerminal(box, ['top', '--interval', '500ms'], { columns: 140, rows: 40 });
      await terminal.shows(/^acme-corp/m);
      await ingest(8, 'second');
      await terminal.shows(/second-0 \(acme-corp\)/);
      terminal.press('\u0003');
      await gone(terminal);
    });
  });

  test('without serve, commands that ingest wait for a look, and never fail', async () => {
    const terminal = onTerminal(box, ['top', '--interval', '500ms'], { columns: 140, rows: 40 });
    await terminal.shows(/^acme-corp/m);
    for (const name of ['third', 'fourth']) {
      await ingest(4, name);
      releaseEngine();
    }
    await terminal.shows(/fourth-0 \(acme-corp\)/);
    terminal.press('q');
    await gone(terminal);
  });
});

describe('a look without serve', () => {
  test.each([
    ['commands', openStore],
    ['serve', openToShare],
  ])('is waited for by %s', async (_, open) => {
    const lock = takeLock(box.dataDir, { command: 'top', shares: false, brief: true });
    const opening = open({ dataDir: box.dataDir, database: 'infrasage', command: 'test' });
    const soon = await Promise.race([
      opening.then(
        () => 'opened',
        () => 'failed',
      ),
      setTimeout(200, 'waiting'),
    ]);
    expect(soon).toBe('waiting');
    lock.release();
    await (await opening).close();
  });
});
