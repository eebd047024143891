import { readdirSync } from 'node:fs';
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
import { ingest } from '../src/ingest/ingest.ts';
import type { IngestOptions } from '../src/ingest/options.ts';
import { recover } from '../src/ingest/recover.ts';
import type { Io } from '../src/io.ts';
import { findLetter } from '../src/reports/dead-letter.ts';
import { type LetterFilter, listLetters } from '../src/reports/dead-letters.ts';
import { openEmbedded } from '../src/store/embedded.ts';
import type { Store } from '../src/store/store.ts';
import { verify } from '../src/verify/verify.ts';
import { type Sandbox, withStore } from './helpers/cli.ts';
import { expectVerified, runSeed, seeded } from './helpers/crash.ts';
import { withEngine } from './helpers/engine.ts';
import { lines } from './helpers/events.ts';
import { failing } from './helpers/failing.ts';
import { ingestOptions } from './helpers/ingest-options.ts';
import { marked, nameless, type Replay } from './helpers/letters.ts';
import { beside } from './helpers/sharing.ts';
import { GROUNDS, type Ground } from './helpers/stores.ts';

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

const OPTIONS = ingestOptions({ maxLine: 20_000, batchBytes: 30_000 });
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

  it('ends while it still judges where it is told to, and sends nothing', async () => {
    await empty();
    await take(store, 'bad.ndjson', lines(...numbered(6)));
    let planned = 0;
    const stopped = await replay(
      { filter: ALL, changes: FIXED, options: {} },
      {
        store,
        now,
        id: () => String(++ids),
        onPlan: async () => void planned++,
        page: { letters: 4, bytes: 1_000_000 },
        stop: AbortSignal.abort(),
      },
    );
    expect(stopped).toMatchObject({ plan: { selected: 4n }, accepted: 0n, batchIds: [] });
    expect(planned).toBe(0);
    expect(await resend(store)).toMatchObject({ accepted: 6n });
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
    const complete = { service_id: 'fixed', event_type: 'log', value: 1 };
    let made = 0;
    for (let round = 0; round < 16; round++) {
      if (round === 0 || random() < 0.5) {
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
      const changes = new Map(set.map((field) => [field, complete[field as keyof typeof complete]]));
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
    // What is left needs no more than all of its fields.
    const rest = await resend(store, { filter: ALL, changes: new Map(Object.entries(complete)) });
    expect(rest).toMatchObject({ accepted: BigInt(open.size), rejected: 0n });
    expect(await counted(store)).toEqual([...done, ...open.keys()].sort());
    expect(await counted(store)).toHaveLength(made);
    await expectProved(store, { seed });
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

  it('a purge keeps no batch waiting while letters are removed, and leaves what one writes meanwhile', async () => {
    await empty();
    await take(store, 'bad.ndjson', lines(...numbered(6), 'no json'));
    const meanwhile = new Proxy(store, {
      get(target, property) {
        if (property === 'mutate') {
          return async (...args: Parameters<Store['mutate']>) => {
            await take(store, 'meanwhile.ndjson', lines('late'));
            await target.mutate(...args);
          };
        }
        const value: unknown = Reflect.get(target, property, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const purge = { tenantId: null, error: null, source: null, before: new Date(Date.now() + 60_000) };
    const removed = await purgeLetters(meanwhile, purge, { purgeId: 'beside', now });
    expect(removed.reduce((sum, { letters }) => sum + letters, 0n)).toBe(7n);
    const { letters } = await listLetters(store, { ...ALL, state: null }, 10);
    expect(letters.map(({ raw }) => String(raw))).toEqual(['late']);
    await expectProved(store, { meanwhile: true });
  });

  it('a purge that was interrupted is no difference, and is done by asking again', async () => {
    // Its changes in turn: the record of what is to go, the removal, and the record that it is done.
    const cases = [
      { nth: 1, after: true, left: 7n },
      { nth: 2, after: false, left: 7n },
      { nth: 2, after: true, left: 0n },
      { nth: 3, after: false, left: 0n },
    ];
    for (const { nth, after, left } of cases) {
      await empty();
      await take(store, 'bad.ndjson', lines(...numbered(6), 'no json'));
      await resend(store);
      const purge = { tenantId: null, error: null, source: null, before: new Date(Date.now() + 60_000) };
      const broken = failing(store, { nth, after });
      await purgeLetters(broken, purge, { purgeId: 'one', now }).catch(expectInjected);
      expect(broken.reached).toBe(true);
      await expectProved(store, { nth, after });
      const removed = await purgeLetters(store, purge, { purgeId: 'two', now });
      expect(removed.reduce((sum, { letters }) => sum + letters, 0n)).toBe(left);
      await expectProved(store, { nth, after });
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
