import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { InfrasageError } from '../src/errors.ts';
import { Budget } from '../src/intake/budget.ts';
import type { Store } from '../src/store/store.ts';
import { verify } from '../src/verify/verify.ts';
import { event, lines } from './helpers/events.ts';
import { ACME, ANYONE, type Desk, desk, GLOBEX, upload } from './helpers/telemetry.ts';

let at: Desk;
beforeAll(async () => {
  at = await desk();
});
beforeEach(async () => {
  await at.clear();
});
afterAll(async () => {
  await at.remove();
});

const EVENTS = 'SELECT count() AS n FROM {{db}}.infrasage_raw_firehose';
const LETTERS = 'SELECT count() AS n FROM {{db}}.infrasage_dlq';
const BATCHES = 'SELECT count() AS n FROM {{db}}.infrasage_ingest_batches FINAL';
const METERED = 'SELECT sum(event_count) AS n FROM {{db}}.infrasage_usage_metering';

async function services(where = '1'): Promise<string[]> {
  const rows = await at.store.query(
    `SELECT service_id FROM {{db}}.infrasage_raw_firehose WHERE ${where} ORDER BY service_id`,
    z.object({ service_id: z.string() }),
  );
  return rows.map((row) => row.service_id);
}

async function letters() {
  return at.store.query(
    'SELECT tenant_id, error, message, raw, source FROM {{db}}.infrasage_dlq ORDER BY batch_id, line',
    z.object({
      tenant_id: z.string(),
      error: z.string(),
      message: z.string(),
      raw: z.string(),
      source: z.string(),
    }),
  );
}

async function agrees(): Promise<void> {
  const report = await verify(at.store);
  expect(report.differences).toEqual([]);
}

const named = (service: string, more: Record<string, unknown> = {}) =>
  event({ service_id: service, ...more });
const bad = event({ event_type: 'nonsense' });

describe('a single record', () => {
  test('is stored and metered when it is answered', async () => {
    expect(await at.telemetry.one(upload(event()))).toEqual({ queued: 1, failed: 0, failures: [] });
    expect(await at.number(EVENTS)).toBe(1);
    expect(await at.number(METERED)).toBe(1);
    await agrees();
  });

  test('that breaks a rule is a dead letter, and the answer names the rule', async () => {
    expect(await at.telemetry.one(upload(bad))).toEqual({
      queued: 0,
      failed: 1,
      failures: [{ index: 0, error: 'invalid_event_type', message: 'event_type is not valid' }],
    });
    expect(await at.telemetry.one(upload('{"tenant_id":'))).toMatchObject({
      failures: [{ index: 0, error: 'invalid_json' }],
    });
    expect((await letters()).map(({ raw, tenant_id, source }) => [raw, tenant_id, source])).toEqual(
      expect.arrayContaining([
        [bad, 'acme-corp', 'http'],
        ['{"tenant_id":', 'acme-corp', 'http'],
      ]),
    );
  });

  test('that is pretty-printed is one line with the same meaning', async () => {
    const pretty = JSON.stringify(JSON.parse(event({ body: 'a\nb', extra: [1, { a: 2 }] })), null, 2);
    expect(await at.telemetry.one(upload(`\ufeff\n ${pretty.replaceAll('\n', '\r\n')}\n`))).toMatchObject({
      queued: 1,
    });
    const [row] = await at.store.query(
      'SELECT body, extra FROM {{db}}.infrasage_raw_firehose',
      z.object({ body: z.string(), extra: z.string() }),
    );
    expect(row?.body).toBe('a\nb');
    expect(JSON.parse(row?.extra ?? '')).toEqual({ extra: [1, { a: 2 }] });
  });

  test('with a raw line feed in a string is not JSON, and no two lines', async () => {
    expect(await at.telemetry.one(upload(event({ body: 'x' }).replace('"x"', '"x\ny"')))).toMatchObject({
      failed: 1,
      failures: [{ index: 0, error: 'invalid_json' }],
    });
  });

  test('needs a body', async () => {
    await expect(at.telemetry.one(upload(' \n'))).rejects.toMatchObject({ reason: 'malformed' });
  });
});

describe('an array', () => {
  test('is answered with the index and the code of each element that is rejected', async () => {
    const body = [named('a'), bad, named('b', { tenant_id: 'globex' }), named('c'), '5', '{"a":}'];
    expect(await at.telemetry.array(upload(` [ ${body.join(' ,\n')} ] `))).toEqual({
      queued: 2,
      failed: 4,
      failures: [
        { index: 1, error: 'invalid_event_type', message: 'event_type is not valid' },
        {
          index: 2,
          error: 'invalid_tenant_id',
          message: 'tenant_id is not the tenant of the credentials it was sent with',
        },
        { index: 4, error: 'not_an_object', message: 'the line is valid JSON but not an object' },
        { index: 5, error: 'invalid_json', message: 'the line is not valid JSON' },
      ],
    });
    expect(await services()).toEqual(['a', 'c']);
    await agrees();
  });

  test('keeps the bytes of its elements in the dead letters', async () => {
    const odd = [
      '{"b":1.50,"a":1e2,"a":12345678901234567890123,"s":"\\u00e9 ],[{} \\" \\\\"}',
      '{ "x" : [ 1 , { "y" : "}" } ] }',
      '[[],{}]',
    ];
    await at.telemetry.array(upload(`[${odd.join(', ')}]`, { piece: 7 }));
    expect((await letters()).map((letter) => letter.raw)).toEqual(odd);
  });

  test.each([
    ['nothing', ''],
    ['an object', '{}'],
    ['no end', `[${event()}`],
    ['no end of a string', `[{"a":"b]`],
    ['a bracket too many', `[${event()}]]`],
    ['a brace too many', '[}]'],
    ['more after it', `[${event()}] x`],
    ['an element missing', `[${event()},]`],
    ['no element', '[,]'],
  ])('with %s is refused as a whole', async (_, body) => {
    await expect(at.telemetry.array(upload(body))).rejects.toMatchObject({ reason: 'malformed' });
    expect(await at.number(BATCHES)).toBe(0);
  });

  test('may be empty, and has at most 10,000 elements', async () => {
    expect(await at.telemetry.array(upload(' [ ] '))).toEqual({ queued: 0, failed: 0, failures: [] });
    const most = `[${Array.from({ length: 10_000 }, () => '0').join()}]`;
    const { failed, failures } = await at.telemetry.array(upload(most));
    expect([failed, failures.length, failures.at(-1)?.index]).toEqual([10_000, 10_000, 9_999]);
    await expect(at.telemetry.array(upload(most.replace(']', ',0]')))).rejects.toMatchObject({
      reason: 'too_large',
    });
  });

  test('takes an element over the limit of a line as a dead letter', async () => {
    const long = named('long', { body: 'x'.repeat(1024 * 1024) });
    expect(await at.telemetry.array(upload(`[${named('a')},${long},${bad}]`))).toMatchObject({
      queued: 1,
      failures: [
        { index: 1, error: 'line_too_long' },
        { index: 2, error: 'invalid_event_type' },
      ],
    });
    await agrees();
  });
});

describe('tenants', () => {
  test('an event without one is of the tenant of the credentials, and none is of another', async () => {
    const mine = named('mine', { tenant_id: undefined });
    const theirs = named('theirs', { tenant_id: 'globex' });
    await at.telemetry.array(upload(`[${mine},${theirs}]`));
    expect(await services("tenant_id = 'acme-corp'")).toEqual(['mine']);
    expect(await services("tenant_id = 'globex'")).toEqual([]);
    expect(await letters()).toMatchObject([
      { tenant_id: 'acme-corp', error: 'invalid_tenant_id', raw: theirs },
    ]);
  });

  test('of one group do not mix, however many they are', async () => {
    const before = await at.number(BATCHES);
    const many = Array.from({ length: 700 }, (_, i) => `tenant-${'x'.repeat(60)}-${i}`);
    const answers = await Promise.all([
      ...many.map((tenant) =>
        at.telemetry.array(
          upload(
            `[${named(tenant, { tenant_id: undefined })},${named(tenant, { tenant_id: 'acme-corp' })}]`,
            { sender: { id: tenant, tenant } },
          ),
        ),
      ),
      at.telemetry.array(
        upload(`[${named('a', { tenant_id: 'one' })},${named('b', { tenant_id: undefined })}]`, {
          sender: ANYONE,
        }),
      ),
      at.telemetry.one(upload(named('g', { tenant_id: undefined }), { sender: GLOBEX })),
    ]);
    expect(answers.slice(0, 700)).toEqual(
      many.map(() => ({
        queued: 1,
        failed: 1,
        failures: [expect.objectContaining({ index: 1, error: 'invalid_tenant_id' })],
      })),
    );
    expect(answers[700]).toMatchObject({ queued: 1, failures: [{ index: 1, error: 'missing_tenant_id' }] });
    expect(await at.number(`${EVENTS} WHERE tenant_id = service_id`)).toBe(700);
    expect(await services("tenant_id IN ('one', 'globex')")).toEqual(['a', 'g']);
    expect(await at.number(BATCHES)).toBeLessThan(before + 10);
    await agrees();
  });
});

describe('many requests', () => {
  test('of one record each are few batches', async () => {
    const answers = await Promise.all(
      Array.from({ length: 1_000 }, (_, i) => at.telemetry.one(upload(i % 10 === 0 ? bad : named(`s${i}`)))),
    );
    expect(answers.filter((answer) => answer.failed === 1)).toHaveLength(100);
    expect(answers.findIndex((answer) => answer.failed === 1)).toBe(0);
    expect(await at.number(EVENTS)).toBe(900);
    expect(await at.number(BATCHES)).toBeLessThan(6);
    await agrees();
  });

  test('beyond what fits in memory are refused, and taken later', async () => {
    const large = `[${Array.from({ length: 28 }, () => named('large', { body: 'x'.repeat(1_000_000) })).join()}]`;
    const results = await Promise.allSettled(
      Array.from({ length: 12 }, () => at.telemetry.array(upload(large, { piece: 1_000_000 }))),
    );
    const refused = results.filter((result) => result.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.map((result) => result.reason)).toEqual(
      refused.map(() => expect.objectContaining({ reason: 'busy' })),
    );
    expect(await at.number(EVENTS)).toBe(28 * (12 - refused.length));
    expect(await at.telemetry.array(upload(large))).toMatchObject({ queued: 28 });
  });
});

test('one sender may have half of the memory under way, others have the rest', () => {
  const budget = new Budget(400);
  const busy = expect.objectContaining({ reason: 'busy' });
  budget.take('a', 200);
  expect(() => budget.take('a', 1)).toThrow(busy);
  budget.take('b', 160);
  budget.take('c', 40);
  expect(() => budget.take('b', 1)).toThrow(busy);
  budget.give('a', 10);
  budget.take('b', 10);
  expect(() => budget.take('a', 1)).toThrow(busy);
});

describe('NDJSON', () => {
  test('is answered by line, blank ones counted', async () => {
    const body = `\ufeff${named('a')}\r\n\r\n${bad}\n${named('b')}\r\n  \n${named('c')}`;
    expect(await at.telemetry.ndjson(upload(body))).toMatchObject({
      queued: 3,
      failures: [{ index: 2, error: 'invalid_event_type' }],
    });
    expect(await services()).toEqual(['a', 'b', 'c']);
    expect((await letters())[0]?.raw).toBe(bad);
    await agrees();
  });

  const long = (count: number) =>
    Array.from({ length: count }, (_, i) => (i % 10 === 3 ? bad : named(`s${i}`, { tenant_id: undefined })));

  test('of any length is stored, and its first 1,000 failures are listed', async () => {
    const body = lines(...long(60_000), named('theirs', { tenant_id: 'globex' }));
    const answer = await at.telemetry.ndjson(upload(body));
    expect([answer.queued, answer.failed, answer.failures.length]).toEqual([54_000, 6_001, 1_000]);
    expect(answer.failures[999]).toMatchObject({ index: 9_993, error: 'invalid_event_type' });
    expect(await at.number(`${EVENTS} WHERE tenant_id = 'acme-corp'`)).toBe(54_000);
    await agrees();
  });

  test('that breaks off keeps whole lines and says how many, or nothing of a short one', async () => {
    const fails = new Error('aborted');
    await expect(at.telemetry.ndjson(upload(lines(event()), { fails }))).rejects.toMatchObject({
      reason: 'malformed',
      kept: 'nothing of it is stored',
    });
    expect(await at.number(BATCHES)).toBe(0);
    const body = lines(...long(30_000));
    await expect(at.telemetry.ndjson(upload(body.slice(0, -20), { fails }))).rejects.toMatchObject({
      reason: 'malformed',
      kept: '29999 of its records are stored',
    });
    expect((await at.number(EVENTS)) + (await at.number(LETTERS))).toBe(29_999);
    await agrees();
  });
});

describe('gzip', () => {
  const gzip = { encoding: 'gzip' };

  test('is read for every kind of body', async () => {
    const { telemetry } = at;
    expect(await telemetry.one(upload(gzipSync(event()), gzip))).toMatchObject({ queued: 1 });
    expect(await telemetry.array(upload(gzipSync(`[${event()}]`), gzip))).toMatchObject({ queued: 1 });
    expect(await telemetry.ndjson(upload(gzipSync(lines(event(), event())), gzip))).toMatchObject({
      queued: 2,
    });
  });

  test('that is cut short or damaged is refused, with nothing kept of a short one', async () => {
    const body = gzipSync(lines(event(), event()));
    for (const broken of [body.subarray(0, -9), Buffer.from('no gzip'), flipped(body)]) {
      await expect(at.telemetry.ndjson(upload(broken, gzip))).rejects.toMatchObject({
        reason: 'malformed',
        kept: 'nothing of it is stored',
      });
      await expect(at.telemetry.one(upload(broken, gzip))).rejects.toMatchObject({ reason: 'malformed' });
    }
    expect(await at.number(BATCHES)).toBe(0);
  });

  test('that is cut short in a stream keeps the whole lines before, and says so', async () => {
    const all = Array.from({ length: 40_000 }, (_, i) => named(`s${i}`, { trace_id: String(Math.random()) }));
    const body = gzipSync(lines(...all));
    const failure = await at.telemetry.ndjson(upload(body.subarray(0, -2_000), gzip)).catch((error) => error);
    expect(failure).toMatchObject({ reason: 'malformed', message: 'the gzip body ends too early' });
    const stored = await at.number(EVENTS);
    expect(stored).toBeGreaterThan(30_000);
    expect(failure.kept).toBe(`${stored} of its records are stored`);
  });

  test('bombs are refused before they are inflated', async () => {
    const bomb = gzipSync(Buffer.alloc(200_000_000, ' '));
    for (const send of ['one', 'array', 'ndjson'] as const) {
      await expect(at.telemetry[send](upload(bomb, gzip))).rejects.toMatchObject({ reason: 'too_large' });
    }
    expect(await at.number(BATCHES)).toBe(0);
  });

  test('is the only encoding', async () => {
    await expect(at.telemetry.one(upload(event(), { encoding: 'br' }))).rejects.toMatchObject({
      reason: 'unsupported',
    });
  });
});

function flipped(body: Buffer): Buffer {
  const broken = Buffer.from(body);
  broken[broken.length - 6] = (broken[broken.length - 6] ?? 0) ^ 255;
  return broken;
}

describe('an idempotency key', () => {
  const body = `[${named('a')},${bad},${named('b')}]`;
  const answer = { queued: 2, failed: 1, failures: [expect.objectContaining({ index: 1 })] };

  test('makes a retry count once, with the same answer, at the same time, later and after a restart', async () => {
    const other = at.telemetry.array(upload(`[${bad},${bad}]`, { sender: GLOBEX, key: 'k' }));
    const [first, second] = await Promise.all([
      at.telemetry.array(upload(body, { key: 'k' })),
      at.telemetry.array(upload(body, { key: 'k' })),
      other,
    ]);
    expect(first).toEqual(answer);
    expect(second).toEqual(first);
    expect(await at.telemetry.array(upload(body, { key: 'k' }))).toEqual(first);
    await at.restart();
    expect(await at.telemetry.array(upload(body, { key: 'k' }))).toEqual(first);
    expect(await at.number(EVENTS)).toBe(2);
    expect(await at.number(LETTERS)).toBe(3);
  });

  test('with another body is refused, whether the first is under way or done', async () => {
    const first = at.telemetry.array(upload(body, { key: 'k' }));
    const reused = { reason: 'key_reused' };
    await expect(at.telemetry.array(upload(`${body} `, { key: 'k' }))).rejects.toMatchObject(reused);
    await first;
    await expect(at.telemetry.array(upload(`[${event()}]`, { key: 'k' }))).rejects.toMatchObject(reused);
    await expect(at.telemetry.ndjson(upload(body, { key: 'k' }))).rejects.toMatchObject(reused);
    expect(await at.number(EVENTS)).toBe(2);
  });

  test('may be on each of hundreds of requests at once', async () => {
    const send = () =>
      Promise.all(
        Array.from({ length: 300 }, (_, i) => at.telemetry.one(upload(named(`s${i}`), { key: `k${i}` }))),
      );
    const first = await send();
    expect(first.every(({ queued }) => queued === 1)).toBe(true);
    expect(await send()).toEqual(first);
    expect(await at.number(EVENTS)).toBe(300);
  });

  test('of one sender is nothing to another, and without one every request counts', async () => {
    for (const sender of [ACME, GLOBEX]) {
      await at.telemetry.one(upload(event({ tenant_id: undefined }), { sender, key: 'k' }));
      await at.telemetry.one(upload(event({ tenant_id: undefined }), { sender }));
      await at.telemetry.one(upload(event({ tenant_id: undefined }), { sender }));
    }
    expect(await at.number(EVENTS)).toBe(6);
  });

  test('makes a stream go on where it broke off, and count once', async () => {
    const all = Array.from({ length: 90_000 }, (_, i) => (i % 9_000 === 8 ? bad : named(`s${i}`)));
    const whole = lines(...all);
    const cut = whole.slice(0, Math.floor(whole.length * 0.7));
    const fails = new Error('aborted');
    await expect(at.telemetry.ndjson(upload(cut, { key: 'k', fails }))).rejects.toMatchObject({
      kept: expect.stringMatching(/^\d+ of its records are stored; with the same Idempotency-Key/),
    });
    const stored = await at.number(EVENTS);
    expect(stored).toBeGreaterThan(0);
    await at.restart();
    // A retry that does not come as far adds nothing.
    const less = whole.slice(0, Math.floor(whole.length * 0.4));
    await expect(at.telemetry.ndjson(upload(less, { key: 'k', fails }))).rejects.toMatchObject({
      reason: 'malformed',
    });
    expect(await at.number(EVENTS)).toBe(stored);
    const first = await at.telemetry.ndjson(upload(whole, { key: 'k' }));
    expect(first).toMatchObject({ queued: 89_990, failed: 10 });
    expect(first.failures.map(({ index }) => index)).toEqual(
      Array.from({ length: 10 }, (_, i) => i * 9_000 + 8),
    );
    expect(await at.telemetry.ndjson(upload(whole, { key: 'k' }))).toEqual(first);
    expect(await at.number(EVENTS)).toBe(89_990);
    await expect(at.telemetry.ndjson(upload(` ${whole}`, { key: 'k' }))).rejects.toMatchObject({
      reason: 'key_reused',
    });
    await agrees();
  });
});

describe('where writing fails', () => {
  /** The store, with one step that fails, before or after it was done. */
  function failing(
    step: (table: string) => boolean,
    when: 'before' | 'after',
  ): { store: Store; mended: boolean } {
    const { store } = at;
    const state = { store, mended: false };
    const run = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
      const fails = !state.mended && step(name);
      if (fails && when === 'before') throw new InfrasageError('the disk broke');
      const result = await work();
      if (fails) throw new InfrasageError('the disk broke');
      return result;
    };
    state.store = new Proxy(store, {
      get(target, name) {
        if (name === 'insert') {
          return (...args: Parameters<Store['insert']>) =>
            run(`${args[0]} ${args[1]?.state ?? ''}`.trim(), () => target.insert(...args));
        }
        if (name === 'writeBatch') {
          return (...args: Parameters<Store['writeBatch']>) => run('lines', () => target.writeBatch(...args));
        }
        if (name === 'query') {
          return (...args: Parameters<Store['query']>) =>
            run(`query ${args[0]}`, () => target.query(...args));
        }
        if (name === 'mutate') {
          return (...args: Parameters<Store['mutate']>) => run('mutate', () => target.mutate(...args));
        }
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    return state;
  }

  test.each([
    ['the keys', 'infrasage_idempotency_keys', 'before', 0],
    ['the keys', 'infrasage_idempotency_keys', 'after', 0],
    ['the intent', 'infrasage_ingest_batches pending', 'before', 0],
    ['the intent', 'infrasage_ingest_batches pending', 'after', 0],
    ['the commit', 'infrasage_ingest_batches committed', 'after', 1],
    ['the lines', 'lines', 'before', 0],
    ['the lines', 'lines', 'after', 1],
  ] as const)(
    'at %s (%s), %s it is done, the answer is true and a retry counts once',
    async (_, table, when, stored) => {
      const broken = failing((name) => name === table, when);
      const telemetry = await at.restart(broken.store);
      const body = `[${named('a')},${bad}]`;
      const first = await telemetry.array(upload(body, { key: 'k' })).catch((error) => error);
      // Lines that are all there count, whatever was said of them.
      if (stored === 1) expect(first).toMatchObject({ queued: 1, failed: 1 });
      else expect(first).toMatchObject({ kept: 'nothing of it is stored' });
      expect(await at.number(EVENTS)).toBe(stored);
      broken.mended = true;
      expect(await telemetry.array(upload(body, { key: 'k' }))).toMatchObject({ queued: 1, failed: 1 });
      expect(await at.number(EVENTS)).toBe(1);
      expect(await at.number(LETTERS)).toBe(1);
      await agrees();
    },
  );

  test.each([
    ['the lines and the abort', ['lines', 'infrasage_ingest_batches aborted']],
    ['the lines and their removal', ['lines', 'mutate']],
    ['the commit', ['infrasage_ingest_batches committed']],
  ])('at %s, nothing more is written until it is settled, and a retry counts once', async (_, steps) => {
    const broken = failing((name) => steps.includes(name), 'before');
    const telemetry = await at.restart(broken.store);
    const body = `[${named('a')},${bad}]`;
    await expect(telemetry.array(upload(body, { key: 'k' }))).rejects.toMatchObject({
      kept: expect.stringMatching(/^it is not known yet whether/),
    });
    await expect(telemetry.one(upload(event()))).rejects.toMatchObject({ kept: 'nothing of it is stored' });
    // A retry may have been stored the first time: that is what is not settled.
    const kept = expect.stringMatching(
      /stored this time; whether it was when it was sent before is not known/,
    );
    await expect(telemetry.array(upload(body, { key: 'k' }))).rejects.toMatchObject({ kept });
    const long = lines(...Array.from({ length: 12_000 }, () => event()));
    await expect(telemetry.ndjson(upload(long, { key: 'stream' }))).rejects.toMatchObject({ kept });
    broken.mended = true;
    expect(await telemetry.array(upload(body, { key: 'k' }))).toMatchObject({ queued: 1, failed: 1 });
    expect(await at.number(EVENTS)).toBe(1);
    expect(await at.number(METERED)).toBe(1);
    await agrees();
  });

  test.each([
    ['an array', `[${named('a')},${bad}]`, 'array'],
    ['a stream', lines(...Array.from({ length: 12_000 }, () => named('a')), bad), 'ndjson'],
  ] as const)(
    'at reading what became of %s that is committed, that is said, now and of a retry',
    async (_, body, how) => {
      const broken = failing((name) => /^query .*infrasage_dlq AS/s.test(name), 'before');
      const telemetry = await at.restart(broken.store);
      const stored = { kept: 'its records are stored', message: 'the list of failures could not be read' };
      await expect(telemetry[how](upload(body, { key: 'k' }))).rejects.toMatchObject(stored);
      const events = await at.number(EVENTS);
      expect(events).toBeGreaterThan(0);
      await expect(telemetry[how](upload(body, { key: 'k' }))).rejects.toMatchObject(stored);
      broken.mended = true;
      expect(await telemetry[how](upload(body, { key: 'k' }))).toMatchObject({ queued: events, failed: 1 });
      expect(await at.number(EVENTS)).toBe(events);
    },
  );

  test('at reading whether it is committed after all, that is not known yet', async () => {
    const broken = failing((name) => name === 'lines' || /^query .*any\(b\.rejected\)/s.test(name), 'before');
    const telemetry = await at.restart(broken.store);
    await expect(telemetry.one(upload(event()))).rejects.toMatchObject({
      kept: expect.stringMatching(/^it is not known yet whether/),
    });
  });

  test('in a stream, what is stored is said, and a retry counts once', async () => {
    let written = 0;
    const broken = failing((name) => name === 'lines' && ++written > 1, 'before');
    const telemetry = await at.restart(broken.store);
    const body = Array.from({ length: 140_000 }, (_, i) => `${named(`s${i}`)}\n`).join('');
    const failure = await telemetry.ndjson(upload(body, { key: 'k' })).catch((error) => error);
    expect(failure.kept).toMatch(/^\d+ of its records are stored; with the same Idempotency-Key/);
    expect(Number.parseInt(failure.kept, 10)).toBe(await at.number(EVENTS));
    broken.mended = true;
    expect(await telemetry.ndjson(upload(body, { key: 'k' }))).toMatchObject({ queued: 140_000, failed: 0 });
    expect(await at.number(EVENTS)).toBe(140_000);
    await agrees();
  });

  test('in a stream, a batch that is committed after all is counted; where that is not known yet, it is said', async () => {
    const body = Array.from({ length: 30_000 }, (_, i) => `${named(`s${i}`)}\n`).join('');
    let commits = 0;
    const once = failing((name) => name.endsWith(' committed') && ++commits === 1, 'before');
    const failure = await (await at.restart(once.store)).ndjson(upload(body)).catch((error) => error);
    expect(await at.number(EVENTS)).toBe(30_000);
    expect(failure.kept).toBe('30000 of its records are stored');

    await at.clear();
    const always = failing((name) => name.endsWith(' committed'), 'before');
    const telemetry = await at.restart(always.store);
    await expect(telemetry.ndjson(upload(body, { key: 'k' }))).rejects.toMatchObject({
      kept: expect.stringMatching(/^it is not known yet how many .* Idempotency-Key, a retry/),
    });
    always.mended = true;
    expect(await telemetry.ndjson(upload(body, { key: 'k' }))).toMatchObject({ queued: 30_000 });
    expect(await at.number(EVENTS)).toBe(30_000);
  });
});
