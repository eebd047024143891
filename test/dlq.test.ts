import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { getNodeValue, parseTree } from 'jsonc-parser';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { confirmed } from '../src/commands/confirm.ts';
import { type Changes, setFields } from '../src/dead-letters/edit.ts';
import type { Wanted } from '../src/dead-letters/plan.ts';
import { purgeLetters } from '../src/dead-letters/purge.ts';
import { replay } from '../src/dead-letters/replay.ts';
import { type IngestOptions, ingest } from '../src/ingest/ingest.ts';
import { recover } from '../src/ingest/recover.ts';
import type { Io } from '../src/io.ts';
import { findLetter } from '../src/reports/dead-letter.ts';
import { type LetterFilter, listLetters } from '../src/reports/dead-letters.ts';
import { openEmbedded } from '../src/store/embedded.ts';
import type { Store } from '../src/store/store.ts';
import { verify } from '../src/verify/verify.ts';
import { type Sandbox, sandbox, withStore } from './helpers/cli.ts';
import { expectVerified, runSeed, seeded } from './helpers/crash.ts';
import { withEngine } from './helpers/engine.ts';
import { event, lines } from './helpers/events.ts';
import { failing } from './helpers/failing.ts';
import { parseCsv } from './helpers/formats.ts';
import { beside } from './helpers/sharing.ts';
import { GROUNDS, type Ground } from './helpers/stores.ts';

const marked = (body: string, fields: Record<string, unknown> = {}) => event({ ...fields, body });
const nameless = (body: string, fields: Record<string, unknown> = {}) =>
  marked(body, { service_id: undefined, ...fields });

interface Replay {
  dry_run: boolean;
  selected: number;
  passing?: number;
  replayed: number;
  rejected_again: number;
  staying: Record<string, number>;
  bytes_received: number;
  bill: Record<string, unknown>[];
}
interface Letter {
  id: string;
  error: string;
  line: number;
  state: string;
}

describe('setting fields', () => {
  const set = (line: string | Buffer, fields: Record<string, unknown>) =>
    setFields(Buffer.from(line), new Map(Object.entries(fields)))?.toString();

  it.each([
    ['{}', '{"a":"x"}'],
    ['{ }', '{ "a":"x"}'],
    ['{"b":1.50,"c":123456789012345678}\r', '{"b":1.50,"c":123456789012345678,"a":"x"}\r'],
    ['{"a" : [1, {"a":2}] , "b":{"a":3}}', '{"a" : "x" , "b":{"a":3}}'],
    ['{"a":1,"a":2 ,"b":0, "a":3}', '{"a":"x" ,"b":0}'],
    ['{"b":0,"\\u0061":null}', '{"b":0,"\\u0061":"x"}'],
    ['\ufeff{"é😀":"}"}', '\ufeff{"é😀":"}","a":"x"}'],
    ['{"__proto__":1}', '{"__proto__":1,"a":"x"}'],
  ])('in %s leaves all else as it is', (line, expected) => {
    expect(set(line, { a: 'x' })).toBe(expected);
  });

  it.each(['[1]', 'no json', '{"a":1', '1', '', '{"a":1e999}'])('in %s is not possible', (line) => {
    expect(set(line, { a: 'x' })).toBeUndefined();
  });

  it('gives what was set and nothing else, whatever the line and the values', () => {
    const random = seeded(runSeed());
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
    const keys = ['a', 'b', '"', '\\', 'é', '😀', '', '__proto__', 'toString'];
    const values = [null, 1, -0.5, 'x', '}', '"', '\u2028', { a: [1, { b: '{' }] }, [], true];
    for (let i = 0; i < 500; i++) {
      const fields = Array.from(
        { length: Math.floor(random() * 5) },
        () => [pick(keys), pick(values)] as const,
      );
      const gap = () => pick(['', ' ', '\t', '\r ']);
      const members = fields.map(
        ([k, v]) => `${gap()}${JSON.stringify(k)}${gap()}:${gap()}${JSON.stringify(v)}${gap()}`,
      );
      const line = `${gap()}{${members.join(',')}${fields.length === 0 ? gap() : ''}}${gap()}`;
      const changes = new Map([
        [pick(keys), pick(values)],
        [pick(keys), pick(values)],
      ]);
      const text = setFields(Buffer.from(line), changes)?.toString() ?? '';
      // Of a key that is there twice and was not set, both stay.
      const found: [string, unknown][] = [];
      const tree = parseTree(text);
      for (const { children } of tree?.children ?? []) {
        const [key, value] = children ?? [];
        if (key && value) found.push([key.value, getNodeValue(value)]);
      }
      const kept = fields.filter(([key]) => !changes.has(key)).map(([key, value]) => [key, value]);
      expect(
        found.filter(([key]) => !changes.has(key)),
        line,
      ).toEqual(kept);
      expect(new Map(found.filter(([key]) => changes.has(key))), line).toEqual(changes);
      expect(
        found.filter(([key]) => changes.has(key)),
        line,
      ).toHaveLength(changes.size);
    }
  });
});

describe('what cannot be undone', () => {
  /** Asks at a terminal where this is typed; undefined ends the input. */
  async function asked(typed: string | undefined) {
    const stdin = Object.assign(new PassThrough(), { isTTY: true });
    const stderr = Object.assign(new PassThrough(), { isTTY: true, columns: 80 });
    const io: Io = { stdin, stdout: new PassThrough(), stderr, env: {}, now };
    const answer = confirmed({ io }, 'Remove 2 dead\u001b]0;x\u0007 letters');
    if (typed === undefined) stdin.end();
    else stdin.write(typed);
    return { answer: await answer, said: String(stderr.read()) };
  }

  it.each<[string | undefined, boolean]>([
    ['y\n', true],
    ['YES\n', true],
    ['\n', false],
    ['n\n', false],
    ['yellow\n', false],
    ['\u0003', false],
    [undefined, false],
  ])('is done on y or yes alone: %j', async (typed, expected) => {
    const { answer, said } = await asked(typed);
    expect(answer).toBe(expected);
    expect(said).toContain('Remove 2 dead letters? [y/N] ');
  });
});

describe('the workbench', () => {
  let box: Sandbox;
  const LONG = marked('x'.repeat(30_000));
  const CUT = marked('y'.repeat(80_000));
  const BROKEN = Buffer.concat([Buffer.from('{"body":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}\r')]);
  const LOCAL = marked('local', { timestamp: '2024-02-28 10:00:00' });
  const TWICE = `${marked('twice', { service_id: 'one' }).slice(0, -1)},"service_id":"two" , "n":1.50}`;
  const INPUT = Buffer.concat([
    Buffer.from(lines(marked('good'), nameless('a'), nameless('b', { timestamp: '2024-03-01T00:00:00Z' }))),
    Buffer.from(lines(nameless('c', { tenant_id: 'globex' }), 'no json', LONG, CUT, LOCAL, TWICE)),
    BROKEN,
    Buffer.from('\r\n'),
    Buffer.from(lines(nameless('d', { event_type: 'none' }))),
  ]);
  beforeAll(async () => {
    box = sandbox({ initialised: true });
    const path = box.file('events.ndjson', INPUT);
    expect(await box.json(['ingest', '--max-line', '20000', path])).toMatchObject({
      accepted: 1,
      rejected: 10,
    });
  });
  afterAll(() => box.remove());

  const each = async (...args: string[]) =>
    (await box.json<{ letters: Letter[] }>(['dlq', 'list', '--each', ...args])).letters;
  const idOf = async (line: number) =>
    (await each('--state', 'all')).find((one) => one.line === line)?.id ?? '';
  const events = () =>
    box.json<{ total_events: number }>(['usage', '--since', '2024-01-01', '--until', '2024-12-31']);

  it('lists by cause, source and tenant, with counts and an example', async () => {
    const { total, groups } = await box.json<{ total: number; groups: Record<string, unknown>[] }>([
      'dlq',
      'list',
    ]);
    expect(total).toBe(10);
    const source = join(box.folder, 'events.ndjson');
    expect(groups.map(({ error, tenant_id, letters }) => [error, tenant_id, letters])).toEqual([
      ['missing_service_id', 'acme-corp', 3],
      ['invalid_json', null, 2],
      ['line_too_long', null, 2],
      ['duplicate_key', null, 1],
      ['invalid_timestamp', 'acme-corp', 1],
      ['missing_service_id', 'globex', 1],
    ]);
    expect(groups[0]).toMatchObject({
      source,
      example: await idOf(11),
      excerpt: expect.stringContaining('{'),
    });
    expect(
      (await box.json<{ groups: unknown[] }>(['dlq', 'list', '--tenant', 'globex'])).groups,
    ).toHaveLength(1);
    expect((await box.run(['dlq', 'list', '--limit', '1'])).stdout).toContain(
      '10 dead letters, 1 of 6 groups',
    );
  });

  it('shows a letter whole in every format, with every rule that it breaks', async () => {
    const id = await idOf(11);
    const shown = await box.json<Record<string, unknown>>(['dlq', 'show', id]);
    const raw = nameless('d', { event_type: 'none' });
    expect(shown).toMatchObject({ id, raw, state: 'open', replayed: null, bytes: raw.length });
    expect(shown.violations).toMatchObject([
      { code: 'missing_service_id', path: 'service_id', found: 'nothing' },
      { code: 'invalid_event_type', path: 'event_type', found: '"none"' },
    ]);
    const print = async (format: string) => (await box.run(['dlq', 'show', id, '--format', format])).stdout;
    const [header = [], ...cells] = parseCsv(await print('csv'));
    const csv = cells.map((row) => ['id', 'raw', 'code'].map((key) => row[header.indexOf(key)]));
    const ndjson = (await print('ndjson'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    for (const rows of [csv, ndjson.map((row) => [row.id, row.raw, row.code])]) {
      expect(rows).toEqual([
        [id, raw, 'missing_service_id'],
        [id, raw, 'invalid_event_type'],
      ]);
    }
    // What was cut is told with its full length, and bytes that are no text as base64.
    expect(await box.json(['dlq', 'show', await idOf(7)])).toMatchObject({
      bytes: CUT.length,
      violations: [{ code: 'line_too_long', found: `${CUT.length} bytes`, expected: 'at most 20000 bytes' }],
    });
    expect(await box.json(['dlq', 'show', await idOf(10)])).toMatchObject({
      raw: null,
      raw_base64: BROKEN.toString('base64'),
    });
  });

  it('exports the exact bytes, which can be ingested, and leaves out what was cut', async () => {
    const { stdout, stderr } = await box.run(['dlq', 'export', '--error', 'missing_service_id']);
    expect(stdout.split('\n').filter(Boolean).sort()).toEqual(
      [
        nameless('a'),
        nameless('b', { timestamp: '2024-03-01T00:00:00Z' }),
        nameless('c', { tenant_id: 'globex' }),
        nameless('d', { event_type: 'none' }),
      ].sort(),
    );
    expect(stderr).toContain('4 dead letters exported');
    const path = join(box.folder, 'all.ndjson');
    const all = await box.run(['dlq', 'export', '--to', path]);
    expect(all.stderr).toContain('1 more left out');
    expect(all.stdout).toBe('');
    expect(readFileSync(path).includes(Buffer.concat([BROKEN, Buffer.from('\n')]))).toBe(true);
    expect(readFileSync(path).includes(LONG)).toBe(true);
    expect(await box.run(['dlq', 'export', '--to', path])).toMatchObject({ status: 2 });
    const again = ['ingest', '--dry-run', '--max-line', '20000', path];
    expect(await box.json(again)).toMatchObject({ accepted: 0, rejected: 9 });
  });

  it('says what a replay would change in the bill, and changes nothing', async () => {
    const fix = ['dlq', 'replay', '--error', 'missing_service_id', '--set', 'service_id=fixed'];
    const sent = (body: string, fields = {}) =>
      marked(body, { ...fields, service_id: undefined }).length + ',"service_id":"fixed"'.length;
    expect(await box.json<Replay>([...fix, '--dry-run'])).toEqual({
      dry_run: true,
      selected: 4,
      passing: 3,
      staying: { invalid_event_type: 1 },
      bytes_received:
        sent('a') + sent('b', { timestamp: '2024-03-01T00:00:00Z' }) + sent('c', { tenant_id: 'globex' }),
      bill: [
        {
          tenant_id: 'acme-corp',
          month: '2024-02',
          event_type: 'metric',
          events: 1,
          bytes_received: sent('a'),
        },
        {
          tenant_id: 'acme-corp',
          month: '2024-03',
          event_type: 'metric',
          events: 1,
          bytes_received: sent('b', { timestamp: '2024-03-01T00:00:00Z' }),
        },
        {
          tenant_id: 'globex',
          month: '2024-02',
          event_type: 'metric',
          events: 1,
          bytes_received: sent('c', { tenant_id: 'globex' }),
        },
      ],
    });
    expect((await events()).total_events).toBe(1);
    expect(await each()).toHaveLength(10);
  });

  it('counts each letter once, with what was set, and says so before and after', async () => {
    const fix = ['dlq', 'replay', '--error', 'missing_service_id', '--set', 'service_id=fixed'];
    const first = await box.run([...fix, '--json']);
    expect(first.stderr).toContain('3 dead letters of 4 will count, and change the bill:');
    expect(first.stderr).toContain('acme-corp 2024-03 metric: +1 event');
    const done = JSON.parse(first.stdout) as Replay;
    expect(done).toMatchObject({
      selected: 4,
      replayed: 3,
      rejected_again: 0,
      staying: { invalid_event_type: 1 },
    });
    expect(done.bill).toHaveLength(3);
    expect(done.bill[2]).toMatchObject({
      tenant_id: 'globex',
      month: '2024-02',
      events: 1,
      bytes: expect.any(Number),
    });
    expect((await events()).total_events).toBe(4);
    // Once more, with the same and with other fields.
    for (const set of ['service_id=fixed', 'service_id=other']) {
      expect(await box.json([...fix.slice(0, -1), set])).toMatchObject({ selected: 1, replayed: 0 });
    }
    expect((await events()).total_events).toBe(4);
    expect(await each()).toHaveLength(7);
    expect((await each('--state', 'replayed')).map(({ line }) => line).sort()).toEqual([2, 3, 4]);
    const shown = await box.json<{ replayed: object }>(['dlq', 'show', await idOf(3)]);
    expect(shown).toMatchObject({
      state: 'replayed',
      replayed: {
        changes: { service_id: 'fixed' },
        event: {
          tenant_id: 'acme-corp',
          event_type: 'metric',
          service_id: 'fixed',
          timestamp: '2024-03-01T00:00:00Z',
        },
      },
    });
    expect((await box.json<{ ok: boolean }>(['verify'])).ok).toBe(true);
  });

  it('replays what other options let through, as it was sent, and never what was cut or is no text', async () => {
    const received = async () => {
      const { stdout } = await box.run([
        'dlq',
        'list',
        '--state',
        'replayed',
        '--each',
        '--format',
        'ndjson',
      ]);
      return stdout.trim().split('\n').length;
    };
    const before = await received();
    expect(await box.json(['dlq', 'replay', '--assume-utc'])).toMatchObject({
      selected: 7,
      replayed: 1,
      bytes_received: LOCAL.length,
      staying: { line_too_long: 1, cut: 1, invalid_json: 2, duplicate_key: 1, missing_service_id: 1 },
    });
    expect(await box.json(['dlq', 'replay', '--max-line', '40000'])).toMatchObject({
      replayed: 1,
      bytes_received: LONG.length,
    });
    // A field that is there twice is there once when it was set; the rest is as it was sent.
    const mended = TWICE.replace('"service_id":"one"', '"service_id":"x"').replace(',"service_id":"two"', '');
    expect(
      await box.json(['dlq', 'replay', '--error', 'duplicate_key', '--set', 'service_id=x']),
    ).toMatchObject({
      replayed: 1,
      bytes_received: mended.length,
    });
    expect(await received()).toBe(before + 3);
    const left = ['dlq', 'replay', '--max-line', '16777216', '--set', 'service_id=y', '--set', 'tenant_id=z'];
    expect(await box.json(left)).toMatchObject({
      selected: 4,
      replayed: 0,
      staying: { cut: 1, invalid_json: 2, invalid_event_type: 1 },
    });
    expect((await box.run(left)).stdout).toContain('1 not all of the line was kept');
    expect((await box.json<{ ok: boolean }>(['verify'])).ok).toBe(true);
  });

  it.each([
    [['--set', 'value'], /--set value is not field=value/],
    [['--set', 'value=many'], /--set value=many: value must be a number/],
    [['--set', 'attributes=[1]'], /attributes must be a JSON object/],
    [['--default-type', 'none'], /--default-type must be one of metric/],
    [['--error', 'none'], /--error none is not an error code/],
    [['--max-line', '1e9'], /--max-line must be at most/],
    [['--since', '2024-02-02', '--until', '2024-02-01'], /is not before --until/],
  ])('refuses replay %s', async (args, words) => {
    const { status, stdout, stderr } = await box.run(['dlq', 'replay', ...args]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(words);
  });

  it('purges what is old enough, where it is told to, and verify knows what went', async () => {
    const purge = ['dlq', 'purge', '--older-than', '2100-01-01'];
    const refused = await box.run(purge);
    expect(refused).toMatchObject({ status: 2, stdout: '' });
    expect(refused.stderr).toMatch(
      /Remove 10 dead letters, 4 of them not replayed,.*: nobody can be asked here; say --force/,
    );
    expect(await box.json([...purge, '--dry-run', '--error', 'missing_service_id'])).toMatchObject({
      dry_run: true,
      letters: 4,
      replayed: 3,
    });
    expect(await box.json(['dlq', 'purge', '--older-than', '1h', '--force'])).toMatchObject({ letters: 0 });
    expect(
      await box.json([...purge, '--error', 'missing_service_id', '--tenant', 'globex', '--force']),
    ).toMatchObject({
      dry_run: false,
      letters: 1,
      replayed: 1,
      causes: [{ error: 'missing_service_id', letters: 1, replayed: 1 }],
    });
    expect((await box.json<{ ok: boolean }>(['verify'])).ok).toBe(true);
    expect(await box.json([...purge, '--force'])).toMatchObject({ letters: 9, replayed: 5 });
    expect(await box.json([...purge, '--force'])).toMatchObject({ letters: 0 });
    expect((await box.json<{ ok: boolean }>(['verify'])).ok).toBe(true);
    await withEngine(box.dataDir, (sql) => {
      const kept = sql(
        `SELECT error, sum(letters) AS n FROM infrasage.infrasage_dlq_purges FINAL WHERE revision = 2 GROUP BY error ORDER BY n DESC, error LIMIT 2`,
      );
      expect(kept).toEqual([
        { error: 'missing_service_id', n: 4 },
        { error: 'invalid_json', n: 2 },
      ]);
    });
    expect((await box.run(['dlq', 'list'])).stdout).toBe('No open dead letters.\n');
    expect((await events()).total_events).toBe(7);
  });
});

const OPTIONS: IngestOptions = {
  tenant: null,
  defaultType: null,
  strict: false,
  assumeUtc: false,
  maxAgeSeconds: null,
  maxLine: 20_000,
  batchBytes: 30_000,
  dryRun: false,
  allowDuplicates: false,
  flushMs: 1_000,
};
const ALL: Omit<LetterFilter, 'state'> = {
  tenantId: null,
  error: null,
  source: null,
  since: null,
  until: null,
};
const FIXED: Changes = new Map([['service_id', 'fixed']]);
const now = () => new Date();

async function take(store: Store, name: string, input: string, options: Partial<IngestOptions> = {}) {
  const source = {
    name,
    once: false,
    read: async function* () {
      yield Buffer.from(input);
    },
  };
  await ingest([source], { ...OPTIONS, ...options }, { store, now });
}

let ids = 0;
const resend = (store: Store, wanted: Partial<Wanted> = {}, page = { letters: 4, bytes: 1_000_000 }) =>
  replay(
    { filter: ALL, changes: FIXED, options: {}, ...wanted },
    { store, now, id: () => String(++ids), onPlan: async () => {}, page },
  );

/** Which of the marked lines are events, in order: one that is counted twice is there twice. */
async function counted(store: Store): Promise<string[]> {
  const rows = await store.query(
    'SELECT body FROM {{db}}.infrasage_raw_firehose ORDER BY body',
    z.object({ body: z.string() }),
  );
  return rows.map(({ body }) => body);
}

async function expectProved(store: Store, context: unknown): Promise<void> {
  const { differences, pendingBatches, checks } = await verify(store);
  expect({ context, differences, pendingBatches }).toEqual({ context, differences: [], pendingBatches: 0n });
  expect(checks.map(({ name }) => name)).toContain('replays');
}

const TABLES = ['raw_firehose', 'usage_metering', 'dlq', 'ingest_batches', 'dlq_replays', 'dlq_purges'];
const numbered = (count: number, make = nameless, from = 0) =>
  Array.from({ length: count }, (_, i) => make(String(from + i).padStart(4, '0')));
const names = (count: number) => Array.from({ length: count }, (_, i) => String(i).padStart(4, '0'));

describe('exactly once', () => {
  let ground: Ground;
  let store: Store;
  beforeAll(async () => {
    const [embedded] = GROUNDS;
    if (!embedded) throw new Error('no store');
    ground = await embedded[1]();
    store = await ground.open();
  });
  afterAll(() => ground.remove());
  const empty = async () => {
    for (const table of TABLES) await store.command(`TRUNCATE TABLE {{db}}.infrasage_${table}`);
  };

  it('whatever write is the last that is done: of replay, and of the recovery that comes after', async () => {
    let cases = 0;
    for (let nth = 1, reached = true; reached; nth++) {
      await take(store, 'bad.ndjson', lines(...numbered(6, nameless, cases * 6)));
      const broken = failing(store, { nth, after: true });
      await resend(broken).catch(expectInjected);
      reached = broken.reached;
      // Recovery meets a failure of its own, at a place that moves along; sometimes none comes between.
      if (nth % 3 > 0) {
        await recover(failing(store, { nth: nth % 3, after: false }), { now }).catch(expectInjected);
      }
      expect(await resend(store)).toMatchObject({ rejected: 0n });
      cases += 1;
      expect({ nth, events: await counted(store) }).toEqual({ nth, events: names(cases * 6) });
    }
    // Two batches of four writes each: links, intent, rows and commit.
    expect(cases).toBe(9);
    await expectProved(store, 'after all of them');
    expect((await resend(store)).plan.selected).toBe(0n);
  });

  it('of random selections, one after the other: what is open, what is counted, what is left', async () => {
    const seed = runSeed();
    console.log(`replay property: seed ${seed}`);
    const random = seeded(seed);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
    await empty();
    const tenants = ['acme', 'globex'];
    const open = new Map<string, { tenant: string; source: string; fields: string[] }>();
    const done: string[] = [];
    let made = 0;
    for (let round = 0; round < 16; round++) {
      if (random() < 0.5) {
        // Letters that lack one or two fields; some of a batch that was judged by other options.
        const source = pick(['one', 'two']);
        const strict = random() < 0.3;
        const all = Array.from({ length: 1 + Math.floor(random() * 12) }, () => {
          const name = String(made++).padStart(4, '0');
          const fields = pick([
            ['service_id'],
            ['event_type'],
            ['service_id', 'event_type'],
            ...(strict ? [['value']] : []),
          ]);
          const tenant = pick(tenants);
          open.set(name, { tenant, source, fields });
          return marked(name, {
            tenant_id: tenant,
            ...Object.fromEntries(fields.map((field) => [field, undefined])),
          });
        });
        await take(store, source, lines(...all), { strict });
      }
      const tenantId = random() < 0.3 ? pick(tenants) : null;
      const source = random() < 0.3 ? pick(['one', 'two']) : null;
      const error =
        random() < 0.3 ? pick(['missing_service_id', 'missing_event_type', 'missing_value']) : null;
      const set = pick([['service_id'], ['event_type'], ['service_id', 'event_type'], ['value'], []]);
      const values = { service_id: 'fixed', event_type: 'log', value: 1 };
      const changes = new Map(set.map((field) => [field, values[field as keyof typeof values]]));
      // In the order of the rules.
      const causeOf = (fields: string[]) =>
        ['service_id', 'event_type', 'value']
          .filter((field) => fields.includes(field))
          .map((field) => `missing_${field}`)[0];
      const wanted = [...open].filter(
        ([, letter]) =>
          (tenantId === null || letter.tenant === tenantId) &&
          (source === null || letter.source === source) &&
          (error === null || causeOf(letter.fields) === error),
      );
      const passing = wanted.filter(([, { fields }]) =>
        fields.every((field) => set.includes(field) || (field === 'value' && set.includes('event_type'))),
      );
      const result = await resend(store, { filter: { ...ALL, tenantId, source, error }, changes });
      expect({
        round,
        selected: result.plan.selected,
        accepted: result.accepted,
        rejected: result.rejected,
      }).toEqual({
        round,
        selected: BigInt(wanted.length),
        accepted: BigInt(passing.length),
        rejected: 0n,
      });
      for (const [name] of passing) {
        open.delete(name);
        done.push(name);
      }
      expect({ round, events: await counted(store) }).toEqual({ round, events: [...done].sort() });
    }
    await expectProved(store, { seed });
    expect(done.length).toBeGreaterThan(5);
  });

  it('replaces a letter that is rejected again by its second copy, and says so', async () => {
    await empty();
    const inAnHour = new Date(Date.now() + 25 * 3_600_000).toISOString();
    await take(store, 'early.ndjson', lines(marked('early', { timestamp: inAnHour })));
    // The plan looks at a clock that is ahead of that of the batch: what passed then does not when it is written.
    let looks = 0;
    const clock = () => new Date(Date.now() + (looks++ === 0 ? 3 * 3_600_000 : 0));
    const first = await replay(
      { filter: ALL, changes: new Map(), options: {} },
      { store, now: clock, id: () => 'early', onPlan: async () => {} },
    );
    expect(first).toMatchObject({ accepted: 0n, rejected: 1n });
    await expectProved(store, 'rejected again');
    const { letters } = await listLetters(store, { ...ALL, state: null }, 10);
    expect(letters.map(({ source, state }) => [source, state]).sort()).toEqual([
      ['dlq replay', 'open'],
      ['early.ndjson', 'replayed'],
    ]);
    const [copy, original] = ['open', 'replayed'].map(
      (state) => letters.find((one) => one.state === state)?.id ?? '',
    );
    expect(await findLetter(store, original ?? '')).toMatchObject({
      replayed: { rejectedAs: copy, event: undefined },
    });
    expect(await findLetter(store, copy ?? '')).toMatchObject({ replayOf: original, replayed: undefined });
    const again = await resend(store, { changes: new Map([['timestamp', '2024-02-28T10:00:00Z']]) });
    expect(again).toMatchObject({ plan: { selected: 1n }, accepted: 1n });
    expect(await counted(store)).toEqual(['early']);
    await expectProved(store, 'replayed');
  });

  it('keeps a letter to the tenant that its line was bound to', async () => {
    await empty();
    const source = (name: string, boundTo: string) => ({
      name,
      once: false,
      root: name,
      boundTo,
      read: async function* () {
        yield Buffer.from(lines(nameless(name, { tenant_id: undefined })));
      },
    });
    await ingest([source('a', 'acme'), source('b', 'globex')], OPTIONS, { store, now });
    const foreign = await resend(store, {
      changes: new Map([
        ['service_id', 'x'],
        ['tenant_id', 'acme'],
      ]),
    });
    expect(foreign).toMatchObject({ accepted: 1n, bill: [{ tenantId: 'acme' }] });
    expect(foreign.plan.staying).toEqual(new Map([['invalid_tenant_id', 1n]]));
    expect(await resend(store)).toMatchObject({ accepted: 1n, bill: [{ tenantId: 'globex' }] });
  });

  it('shows in verify: a letter in two batches, a batch of more than its letters, an event that is none of theirs', async () => {
    await empty();
    await take(store, 'bad.ndjson', lines(...numbered(6)));
    await resend(store);
    const differences = async () =>
      (await verify(store)).differences.filter(({ check }) => check === 'replays');
    expect(await differences()).toEqual([]);
    await store.command(`INSERT INTO {{db}}.infrasage_dlq_replays
      SELECT r.* REPLACE ((SELECT any(key) FROM {{db}}.infrasage_dlq_replays WHERE letter_line = 6) AS key)
      FROM {{db}}.infrasage_dlq_replays AS r WHERE letter_line = 1`);
    expect(await differences()).toMatchObject([
      { what: 'dead letters in it', expected: 2n, found: 3n },
      { what: 'digest of its events' },
      { what: 'batches that it counts in', expected: 1n, found: 2n },
    ]);
  });

  it('a purge that was interrupted is no difference, and is done by asking again', async () => {
    for (const after of [false, true]) {
      await empty();
      await take(store, 'bad.ndjson', lines(...numbered(6), 'no json'));
      await resend(store);
      const purge = { tenantId: null, error: null, source: null, before: new Date(Date.now() + 60_000) };
      const broken = failing(store, { nth: 1, after });
      await purgeLetters(broken, purge, { purgeId: 'one', now }).catch(expectInjected);
      expect(broken.reached).toBe(true);
      await expectProved(store, { after });
      const removed = await purgeLetters(store, purge, { purgeId: 'two', now });
      expect(removed.reduce((sum, { letters }) => sum + letters, 0n)).toBe(after ? 0n : 7n);
      await expectProved(store, { after });
      // A letter that goes missing without a purge is one.
      await take(store, 'more.ndjson', lines('more'));
      await store.mutate(`ALTER TABLE {{db}}.infrasage_dlq DELETE WHERE raw = 'more'`);
      expect((await verify(store)).differences).toMatchObject([
        { check: 'batches', expected: 1n, found: 0n },
      ]);
    }
  });
});

it('is exact on a server, where two run at once from processes of their own', async () => {
  const [, open] = GROUNDS.find(([name]) => name === 'of a ClickHouse server') ?? [];
  if (!open) throw new Error('no server');
  const ground = await open();
  try {
    const [one, other] = [await ground.open(), await ground.open()];
    await take(one, 'bad.ndjson', lines(...numbered(10)));
    const both = await Promise.all([resend(one), resend(other)]);
    expect(both.map(({ accepted }) => accepted).sort()).toEqual([0n, 10n]);
    expect(await counted(other)).toEqual(names(10));
    await expectProved(other, 'a server');
  } finally {
    await ground.remove();
  }
});

function expectInjected(error: unknown): void {
  expect(error).toMatchObject({ message: 'injected failure' });
}

const EACH = 150;
/** Letters that were judged by so many options: a replay sends each of them in a batch of their own. */
async function manyLetters(box: Sandbox, batches: number): Promise<void> {
  const store = await openEmbedded({ dataDir: box.dataDir, database: 'infrasage', command: 'test' });
  try {
    for (let i = 0; i < batches; i++) {
      await take(store, `bad-${i}`, lines(...numbered(EACH, nameless, i * EACH)), { maxLine: 20_000 + i });
    }
  } finally {
    await store.close();
  }
}
const REPLAY = ['dlq', 'replay', '--set', 'service_id=fixed'];

/** Replays, killing the process at random moments from when it has said what it will change, until it gets through. */
async function replayUnderFire(box: Sandbox, { kills, random }: { kills: number; random: () => number }) {
  for (let killed = 0; killed < kills; killed++) {
    const began = performance.now();
    const { child, stdin, done } = box.start(REPLAY);
    stdin.end();
    const said = new Promise<void>((resolve) => {
      child.stderr?.on('data', (words: Buffer) => words.includes('change the bill') && resolve());
    });
    await Promise.race([said, done]);
    await setTimeout(random() * (performance.now() - began));
    child.kill('SIGKILL');
    const { status, stderr } = await done;
    if (status === null) continue;
    expect(status, stderr).toBe(0);
    return killed;
  }
  expect(await box.apart(REPLAY)).toMatchObject({ status: 0 });
  return kills;
}

async function expectAllOnce(box: Sandbox, count: number): Promise<void> {
  await expectVerified(box);
  await withEngine(box.dataDir, (sql) => {
    const [found] = sql(`SELECT count() AS events, uniqExact(body) AS letters,
      (SELECT sum(event_count) FROM infrasage.infrasage_usage_metering) AS metered
      FROM infrasage.infrasage_raw_firehose`);
    expect(found).toEqual({ events: count, letters: count, metered: count });
  });
  expect(await box.json(REPLAY)).toMatchObject({ selected: 0, replayed: 0 });
}

it('is exact when it is killed at random moments, however often', () =>
  withStore(async (box) => {
    const seed = runSeed();
    await manyLetters(box, 10);
    const killed = await replayUnderFire(box, { kills: 3, random: seeded(seed) });
    await expectAllOnce(box, 10 * EACH);
    expect(readdirSync(join(box.dataDir, 'spool', 'infrasage'))).toEqual([]);
    await withEngine(box.dataDir, (sql) => {
      const owners = sql<{ batches: number }>(
        `SELECT owner, count() AS batches FROM infrasage.infrasage_ingest_batches FINAL
        WHERE state = 'committed' AND source = 'dlq replay' GROUP BY owner`,
      );
      console.log(
        `replay under fire: seed ${seed}, killed ${killed} times; batches by process: ${owners.map(({ batches }) => batches)}`,
      );
      expect(owners.reduce((sum, { batches }) => sum + Number(batches), 0)).toBe(10);
    });
  }));

it('is exact when two run at once, and each says what it has counted', () =>
  withStore(async (box) => {
    await manyLetters(box, 3);
    await beside(box.dataDir, async () => {
      const both = await Promise.all([0, 1].map(() => box.apart([...REPLAY, '--json'])));
      const replayed = both.map(({ status, stdout, stderr }) => {
        expect(status, stderr).toBe(0);
        return (JSON.parse(stdout) as Replay).replayed;
      });
      expect(replayed.sort()).toEqual([0, 3 * EACH]);
    });
    await expectAllOnce(box, 3 * EACH);
  }));
