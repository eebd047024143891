import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { EXIT, InfrasageError } from '../src/errors.ts';
import { withLock } from '../src/store/named-locks.ts';
import {
  PLAIN_LINES,
  type SpooledBatch,
  type Store,
  sqlTime,
  uint64,
  type VerdictCount,
} from '../src/store/store.ts';
import { event, lines } from './helpers/events.ts';
import { GROUNDS, type Ground } from './helpers/stores.ts';

const AWKWARD = 'it\'s "quoted" \\n \\\\ \t\n\r\0 {{db}} {x:String} ü 🙂 \u2028';
const MAX = 18_446_744_073_709_551_615n;
/** Not long ago: metering rows of more than a week lose their batch. */
const RECEIVED = new Date();
const count = z.object({ n: uint64 });

describe.each(GROUNDS)('a store that is %s', (_name, ground) => {
  let on: Ground;
  let store: Store;
  let other: Store;
  beforeAll(async () => {
    on = await ground();
    store = await on.open();
    other = await on.open();
    await store.command(
      `CREATE TABLE IF NOT EXISTS {{db}}.contract (id String, n UInt64, at DateTime64(3, 'UTC'), text String)
      ENGINE = MergeTree ORDER BY id`,
    );
  });
  afterAll(() => on.remove());

  const number = async (sql: string, params = {}, from = store) => {
    const [row] = await from.query(sql, count, params);
    return row?.n;
  };
  const failure = async (work: Promise<unknown>): Promise<InfrasageError> => {
    const error = await work.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (!(error instanceof InfrasageError)) throw new Error(`no InfrasageError: ${String(error)}`);
    return error;
  };

  describe('query', () => {
    it('binds values of every kind as they are', async () => {
      // The engine's driver leaves out fractions of a second; times go as sqlTime where these matter.
      const at = new Date('2024-02-29T23:59:59Z');
      const [row] = await store.query(
        `SELECT {text:String} AS text, {empty:String} AS empty, {n:UInt64} AS n, {i:Int64} AS i, {f:Float64} AS f,
          {yes:Bool} AS yes, {at:DateTime64(3, 'UTC')} AS at, {none:Nullable(String)} AS none,
          {texts:Array(String)} AS texts, {numbers:Array(UInt64)} AS numbers`,
        z.object({
          text: z.string(),
          empty: z.string(),
          n: uint64,
          i: uint64,
          f: z.number(),
          yes: z.boolean(),
          at: z.string(),
          none: z.null(),
          texts: z.array(z.string()),
          numbers: z.array(uint64),
        }),
        {
          text: AWKWARD,
          empty: '',
          n: MAX,
          i: -9_223_372_036_854_775_808n,
          f: 0.1,
          yes: true,
          at,
          none: null,
          texts: [AWKWARD, '', "']"],
          numbers: [0n, MAX],
        },
      );
      expect(row).toEqual({
        text: AWKWARD,
        empty: '',
        n: MAX,
        i: -9_223_372_036_854_775_808n,
        f: 0.1,
        yes: true,
        at: '2024-02-29 23:59:59.000',
        none: null,
        texts: [AWKWARD, '', "']"],
        numbers: [0n, MAX],
      });
    });

    it('gives no rows, and many, in their order', async () => {
      expect(await store.query('SELECT 1 AS n WHERE 0', count)).toEqual([]);
      const rows = await store.query('SELECT number AS n FROM numbers(50000) ORDER BY n', count);
      expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: 50_000 }, (_, i) => BigInt(i)));
    });

    it('refuses rows that are not what they should be', async () => {
      await expect(store.query(`SELECT 'x' AS n`, count)).rejects.toThrow(z.ZodError);
    });

    it('takes many at once', async () => {
      const found = await Promise.all(
        Array.from({ length: 20 }, (_, i) => number('SELECT {i:UInt64} AS n', { i })),
      );
      expect(found).toEqual(Array.from({ length: 20 }, (_, i) => BigInt(i)));
    });
  });

  it('fails with the words of the engine and exit status 3, and goes on', async () => {
    const unknown = await failure(store.query('SELECT * FROM {{db}}.nowhere', count));
    expect(unknown.exitStatus).toBe(EXIT.failure);
    expect(unknown.message).toMatch(
      /^(the engine|the ClickHouse server at \S+) said: Unknown table expression identifier '\S*nowhere'/,
    );
    expect(unknown.message).not.toContain('\n');
    expect((await failure(store.command('SELECT FROM WHERE'))).message).toMatch(/Syntax error/);
    expect((await failure(store.command(`SELECT throwIf(1, 'these very words')`))).message).toContain(
      'these very words',
    );
    const heavy = 'SELECT count() AS n FROM (SELECT number FROM numbers(100000000) GROUP BY number)';
    expect((await failure(store.command(`${heavy} SETTINGS max_memory_usage = 10000000`))).message).toBe(
      'the engine ran out of memory for this query',
    );
    expect(await number('SELECT 1 AS n')).toBe(1n);
  });

  it('has settings for one statement only', async () => {
    await store.command('SELECT 1 SETTINGS max_rows_to_read = 7');
    const set = `SELECT toUInt64(value) AS n FROM system.settings WHERE name = 'max_rows_to_read'`;
    const found = await Promise.all(Array.from({ length: 4 }, () => number(set)));
    expect(found).toEqual([0n, 0n, 0n, 0n]);
  });

  describe('insert', () => {
    it('stores every value as it is, visible at once to all', async () => {
      const at = new Date('2024-02-29T23:59:59.999Z');
      await store.insert('contract', { id: 'awkward', n: MAX, at: sqlTime(at), text: AWKWARD });
      const stored = z.object({ id: z.string(), n: uint64, at: z.string(), text: z.string() });
      const sql = `SELECT * FROM {{db}}.contract WHERE id = 'awkward'`;
      const row = { id: 'awkward', n: MAX, at: '2024-02-29 23:59:59.999', text: AWKWARD };
      expect(await store.query(sql, stored)).toEqual([row]);
      expect(await other.query(sql, stored)).toEqual([row]);
    });

    it('takes long texts, and many rows', async () => {
      const text = '🙂x'.repeat(200_000);
      await store.insert('contract', { id: 'long', text });
      expect(
        await store.query(
          `SELECT text FROM {{db}}.contract WHERE id = 'long'`,
          z.object({ text: z.string() }),
        ),
      ).toEqual([{ text }]);
      await store.insert('contract', ...Array.from({ length: 5000 }, (_, n) => ({ id: 'many', n })));
      expect(await number(`SELECT sum(n) AS n FROM {{db}}.contract WHERE id = 'many'`)).toBe(12_497_500n);
    });

    it('stores all rows or none', async () => {
      await failure(store.insert('contract', { id: 'half', n: 1 }, { id: 'half', n: 'x' }));
      expect(await number(`SELECT count() AS n FROM {{db}}.contract WHERE id = 'half'`)).toBe(0n);
    });
  });

  describe('a selection', () => {
    it('is inserted with what is bound to it, in the columns it names', async () => {
      await store.insert('contract', { id: 'model', n: 1 }, { id: 'model', n: 2 });
      const select =
        'SELECT n * 10, {copy:String}, {text:String} FROM {{db}}.contract WHERE id = {of:String}';
      const bound = { copy: 'copied', text: AWKWARD, of: 'model' };
      await store.insertSelected({ table: 'contract', columns: ['n', 'id', 'text'], select }, bound);
      const copied = await other.query(
        `SELECT n, text FROM {{db}}.contract WHERE id = 'copied' ORDER BY n`,
        z.object({ n: uint64, text: z.string() }),
      );
      expect(copied).toEqual([10n, 20n].map((n) => ({ n, text: AWKWARD })));
    });

    it('of which a row cannot be made leaves none', async () => {
      const select = `SELECT 'unmade', throwIf(number = 1, 'no second row') FROM numbers(2)`;
      const { exitStatus } = await failure(
        store.insertSelected({ table: 'contract', columns: ['id', 'n'], select }),
      );
      expect(exitStatus).toBe(EXIT.failure);
      expect(await number(`SELECT count() AS n FROM {{db}}.contract WHERE id = 'unmade'`)).toBe(0n);
    });
  });

  it('has changed every row when a mutation is done', async () => {
    for (let part = 0; part < 3; part++)
      await store.insert('contract', { id: 'gone', n: part }, { id: 'kept', n: part });
    await store.mutate('ALTER TABLE {{db}}.contract DELETE WHERE id = {id:String}', { id: 'gone' });
    const left = (id: string) =>
      number('SELECT count() AS n FROM {{db}}.contract WHERE id = {id:String}', { id }, other);
    expect(await left('gone')).toBe(0n);
    expect(await left('kept')).toBe(3n);
  });

  describe('a batch', () => {
    let serial = 0;
    /** A batch of this text, spooled; its id is found by its rows. */
    const spooled = (text: string, more: Partial<SpooledBatch> = {}): SpooledBatch => {
      serial += 1;
      const path = join(store.spoolDir, `contract-${serial}.ndjson`);
      writeFileSync(path, text);
      return {
        batchId: `${'c'.repeat(60)}${String(serial).padStart(4, '0')}#1`,
        path,
        source: AWKWARD.replace('\0', ''),
        firstLine: 1,
        crlf: false,
        blank: false,
        cut: [],
        receivedAt: RECEIVED,
        options: PLAIN_LINES,
        bindings: [],
        ...more,
      };
    };
    const inTables = async ({ batchId: id }: SpooledBatch) => ({
      firehose: await number(
        'SELECT count() AS n FROM {{db}}.infrasage_raw_firehose WHERE batch_id = {id:String}',
        { id },
      ),
      metered: await number(
        'SELECT sum(event_count) AS n FROM {{db}}.infrasage_usage_metering WHERE batch_id = {id:String}',
        { id },
      ),
      letters: await number('SELECT count() AS n FROM {{db}}.infrasage_dlq WHERE batch_id = {id:String}', {
        id,
      }),
    });
    const sorted = (counts: VerdictCount[]) => counts.sort((a, b) => (a.error < b.error ? -1 : 1));

    it('goes through the pipeline: events are stored and metered, dead letters kept with their bytes and lines', async () => {
      const cut = event({ body: 'z'.repeat(100) });
      const bad = '{"tenant_id":"\u00fc\u2028 \\ud800"}';
      const text = `${event()}\r\n \r\n${bad}\n${cut}\n${event({ tenant_id: 'other', timestamp: '2024-01-31T23:59:59Z' })}`;
      const batch = spooled(text, {
        crlf: true,
        blank: true,
        firstLine: 41,
        cut: [{ line: 44, length: 5_000_000 }],
      });
      await store.writeBatch(batch);
      expect(await inTables(batch)).toEqual({ firehose: 2n, metered: 2n, letters: 2n });
      const letters = await store.query(
        'SELECT line, error, base64Encode(raw) AS raw, source, received_at FROM {{db}}.infrasage_dlq WHERE batch_id = {id:String} ORDER BY line',
        z.object({
          line: uint64,
          error: z.string(),
          raw: z.string(),
          source: z.string(),
          received_at: z.string(),
        }),
        { id: batch.batchId },
      );
      const same = { source: batch.source, received_at: sqlTime(RECEIVED) };
      expect(letters).toEqual([
        { line: 43n, error: 'invalid_json', raw: Buffer.from(bad).toString('base64'), ...same },
        { line: 44n, error: 'line_too_long', raw: Buffer.from(cut).toString('base64'), ...same },
      ]);
      const received = event({ tenant_id: 'other', timestamp: '2024-01-31T23:59:59Z' }).length;
      expect(
        await number(
          `SELECT sum(m.bytes_received) AS n FROM {{db}}.infrasage_usage_metering AS m WHERE batch_id = {id:String} AND hour = '2024-01-31 23:00:00'`,
          { id: batch.batchId },
        ),
      ).toBe(BigInt(received));
    });

    it('is judged as it is written, and judging it writes nothing', async () => {
      const text = lines(event(), 'no json', event({ event_type: 'x' }), event({ service_id: undefined }));
      const batch = spooled(text);
      const judged = sorted(await store.judgeBatch(batch));
      expect(judged).toEqual([
        { error: '', lines: 1n, bytes: BigInt(event().length) },
        { error: 'invalid_event_type', lines: 1n, bytes: BigInt(event({ event_type: 'x' }).length) },
        { error: 'invalid_json', lines: 1n, bytes: 7n },
        { error: 'missing_service_id', lines: 1n, bytes: BigInt(event({ service_id: undefined }).length) },
      ]);
      expect(await inTables(batch)).toEqual({ firehose: 0n, metered: 0n, letters: 0n });
      await store.writeBatch(batch);
      expect(await inTables(batch)).toEqual({ firehose: 1n, metered: 1n, letters: 3n });
    });

    it('is judged by its options, and its lines by the tenants they are bound to', async () => {
      const text = lines(
        event({ tenant_id: undefined, event_type: undefined }),
        event({ timestamp: '2024-02-28 10:00:00' }),
        event({ tenant_id: 'other' }),
        event({ tenant_id: undefined }),
      );
      const options = { ...PLAIN_LINES, defaultType: 'log', assumeUtc: true, tenant: "fill'er" };
      const batch = spooled(text, { options });
      expect(sorted(await store.judgeBatch(batch))).toEqual([
        { error: '', lines: 4n, bytes: BigInt(text.length - 4) },
      ]);
      const bound = spooled(text, {
        options: { ...options, tenant: null },
        firstLine: 10,
        bindings: [
          { line: 10, tenant: 'acme-corp' },
          { line: 12, tenant: null },
          { line: 13, tenant: "o'tenant" },
        ],
      });
      await store.writeBatch(bound);
      const tenants = await store.query(
        'SELECT tenant_id FROM {{db}}.infrasage_raw_firehose WHERE batch_id = {id:String} ORDER BY tenant_id',
        z.object({ tenant_id: z.string() }),
        { id: bound.batchId },
      );
      expect(tenants.map((row) => row.tenant_id)).toEqual(['acme-corp', 'acme-corp', "o'tenant", 'other']);
    });

    it('of any size keeps the numbers of its lines; as many go at once as it says', async () => {
      const some = Array.from({ length: 20_000 }, (_, i) =>
        i % 1000 === 999 ? `bad ${i + 1}` : event({ value: i }),
      );
      const batches = Array.from({ length: store.parallelism + 1 }, () => spooled(lines(...some)));
      await Promise.all(batches.map((batch) => store.writeBatch(batch)));
      for (const batch of batches) {
        expect(await inTables(batch)).toEqual({ firehose: 19_980n, metered: 19_980n, letters: 20n });
        const wrong = `SELECT countIf(raw != concat('bad ', toString(line))) AS n FROM {{db}}.infrasage_dlq WHERE batch_id = {id:String}`;
        expect(await number(wrong, { id: batch.batchId })).toBe(0n);
      }
    });

    it('that cannot be read is a failure, and writes nothing', async () => {
      const batch = { ...spooled(''), path: join(store.spoolDir, 'contract-missing.ndjson') };
      await expect(store.writeBatch(batch)).rejects.toThrow(InfrasageError);
      expect(await inTables(batch)).toEqual({ firehose: 0n, metered: 0n, letters: 0n });
    });
  });

  describe('a lock', () => {
    it('is had by one at a time, here and elsewhere, and by the next in line after it', async () => {
      const name = randomUUID();
      const held = await store.lock(name);
      const order: string[] = [];
      const waiting = [store, other].map(async (one, i) => {
        const lock = await one.lock(name);
        order.push(`has ${i}`);
        await setTimeout(20);
        order.push(`lets go ${i}`);
        await lock.release();
      });
      expect(await other.tryLock(name)).toBeUndefined();
      expect(await store.tryLock(name)).toBeUndefined();
      expect(order).toEqual([]);
      await held.release();
      await Promise.all(waiting);
      const [, first = ''] = order[0]?.split(' ') ?? [];
      const second = 1 - Number(first);
      expect(order).toEqual([`has ${first}`, `lets go ${first}`, `has ${second}`, `lets go ${second}`]);
    });

    it('may be shared, but not while one has it for himself', async () => {
      const name = randomUUID();
      const shared = [await store.lock(name, 'shared'), await other.lock(name, 'shared')];
      expect(await other.tryLock(name)).toBeUndefined();
      let alone = false;
      const exclusive = store.lock(name).then((lock) => {
        alone = true;
        return lock;
      });
      await shared[0]?.release();
      expect(await other.tryLock(name)).toBeUndefined();
      expect(alone).toBe(false);
      await shared[1]?.release();
      const held = await exclusive;
      expect(await other.tryLock(name)).toBeUndefined();
      await held.release();
      const again = await other.tryLock(name);
      expect(again).toBeDefined();
      await again?.release();
    });

    it('is free of others of another name, released once, and released when the work under it fails', async () => {
      const name = randomUUID();
      const held = await store.lock(name);
      const free = await other.tryLock(`${name} `);
      expect(free).toBeDefined();
      await free?.release();
      await held.release();
      const next = await other.lock(name);
      await held.release();
      expect(await store.tryLock(name)).toBeUndefined();
      await next.release();
      await expect(store.exclusively(name, () => Promise.reject(new Error('fails')))).rejects.toThrow(
        'fails',
      );
      expect(await other.exclusively(name, async () => 'done')).toBe('done');
    });

    it('keeps many who want it from each other', async () => {
      const name = randomUUID();
      let inside = 0;
      let most = 0;
      let done = 0;
      const enter = async (one: Store, mode: 'shared' | 'exclusive') =>
        withLock(one, name, mode, async () => {
          inside += mode === 'exclusive' ? 100 : 1;
          most = Math.max(most, inside);
          if (mode === 'exclusive') expect(inside).toBe(100);
          await setTimeout(5);
          inside -= mode === 'exclusive' ? 100 : 1;
          done += 1;
        });
      await Promise.all(
        Array.from({ length: 24 }, (_, i) =>
          enter(i % 2 === 0 ? store : other, i % 3 === 0 ? 'exclusive' : 'shared'),
        ),
      );
      expect(done).toBe(24);
      expect(most).toBe(100);
    });

    it('ends with the store it was taken of', async () => {
      const third = await on.open();
      if (third === store) return;
      const name = randomUUID();
      await third.lock(name);
      expect(await store.tryLock(name)).toBeUndefined();
      await third.close();
      const held = await store.lock(name);
      await held.release();
    });
  });

  it('names its database and engine', () => {
    expect(store.database).toMatch(/^infrasage/);
    expect(store.engineVersion).toMatch(/^\d+\.\d+\./);
    expect(store.parallelism).toBeGreaterThan(1);
  });
});
