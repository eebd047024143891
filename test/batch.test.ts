import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Session } from 'chdb';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Batch, type CutOptions, cutBatches } from '../src/ingest/batch.ts';
import type { KnownBatch, Lookup } from '../src/ingest/recognise.ts';
import { KEPT_OF_LONG_LINE } from '../src/ingest/scan.ts';
import { batchLines, ONE_BLOCK, linesOf as spooledLines } from '../src/store/batch-insert.ts';

const SEED = Number(process.env.INFRASAGE_SEED ?? Math.floor(Math.random() * 2 ** 31));
console.log(`INFRASAGE_SEED=${SEED}`);

const ROOT = sha256('root');
const BOM = Buffer.from('\ufeff');
const FOREVER = 2 ** 31 - 1;

function sha256(...parts: (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/** A batch with its pieces copied, as they are valid only until the next one is asked for. */
interface Taken extends Omit<Batch, 'pieces'> {
  text: Buffer;
}

/** A batch as a ledger that has committed it knows it. */
function knownAs({
  key,
  bytes,
  lines,
  sourceLines,
}: Pick<Taken, 'key' | 'bytes' | 'lines' | 'sourceLines'>): KnownBatch {
  return { key, bytes, lines, sourceLines, committed: true, fixed: true, attempt: 1 } as KnownBatch;
}

async function collect(
  chunks: AsyncIterable<Uint8Array>,
  options: CutOptions,
  lookup?: Lookup,
): Promise<Taken[]> {
  const taken: Taken[] = [];
  for await (const { pieces, ...batch } of cutBatches(chunks, ROOT, options, lookup)) {
    taken.push({ ...batch, text: Buffer.concat(pieces) });
  }
  return taken;
}

/** The input in chunks of these lengths, over and over; a chunk is valid until the next is asked for, as of a source. */
async function* inChunks(input: Buffer, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.alloc(Math.max(...sizes));
  for (let at = 0, i = 0; at < input.length; i++) {
    const size = Math.min(sizes[i % sizes.length] ?? 1, input.length - at);
    input.copy(buffer, 0, at, at + size);
    yield buffer.subarray(0, size);
    buffer.fill('#');
    at += size;
  }
}

interface Line {
  number: number;
  bytes: Buffer;
}

/** The lines of an input, read off it without regard to batches; blank ones too. */
function linesOf(input: Buffer): (Line & { ending: number })[] {
  const found: (Line & { ending: number })[] = [];
  for (let at = 0; at < input.length; ) {
    const lf = input.indexOf('\n', at);
    const end = lf < 0 ? input.length : lf;
    const crlf = lf > at && input[lf - 1] === 13;
    const bytes = input.subarray(at, crlf ? end - 1 : end);
    found.push({ number: found.length + 1, bytes, ending: lf < 0 ? 0 : crlf ? 2 : 1 });
    at = end + 1;
  }
  return found;
}

function withoutMark(input: Buffer): Buffer {
  return input.subarray(0, BOM.length).equals(BOM) ? input.subarray(BOM.length) : input;
}

function isBlank(line: Buffer): boolean {
  return /^[ \t\r]*$/.test(line.toString('latin1'));
}

/** What the engine makes of a batch: it reads the lines, takes off carriage returns and leaves out blank lines where it is told to. */
function landed({ text, firstLine, crlf, blank }: Taken): Line[] {
  const all: Buffer[] = [];
  for (let at = 0; at < text.length; ) {
    const lf = text.indexOf('\n', at);
    const line = text.subarray(at, lf < 0 ? text.length : lf);
    all.push(crlf && line.at(-1) === 13 ? line.subarray(0, -1) : line);
    at = lf < 0 ? text.length : lf + 1;
  }
  return all
    .map((bytes, i) => ({ number: firstLine + i, bytes }))
    .filter(({ bytes }) => !blank || !isBlank(bytes));
}

/** Reads the lines of a batch as the engine gets them. */
type Land = (batch: Taken, options: CutOptions) => Line[];

/**
 * Everything that batches promise about an input, whatever the cut points are.
 * @param how.grown whether they may be longer than asked for, since a known one was looked for
 */
function expectWhole(
  input: Buffer,
  batches: readonly Taken[],
  options: CutOptions,
  { land = landed, grown = false }: { land?: Land; grown?: boolean } = {},
): void {
  const content = withoutMark(input);
  const all = linesOf(content);
  const events = all.filter(({ bytes }) => !isBlank(bytes));

  expect(batches.reduce((sum, batch) => sum + batch.bytes, 0)).toBe(content.length);
  let previousKey = ROOT;
  let at = 0;
  let line = 1;
  for (const batch of batches) {
    const covered = content.subarray(at, at + batch.bytes);
    expect(batch.bytes).toBeGreaterThan(0);
    expect(batch.previousKey).toBe(previousKey);
    expect(batch.key).toBe(sha256(previousKey, covered));
    expect(batch.firstLine).toBe(line);
    expect(batch.sourceLines).toBe(linesOf(covered).length);
    expect(at + batch.bytes === content.length || covered.at(-1) === 10, 'it ends at a line’s end').toBe(
      true,
    );
    const allowed = batch.bytes <= options.batchBytes || batch.sourceLines === 1;
    expect(allowed || grown, 'it is no longer than allowed').toBe(true);
    const own = events.filter(({ number }) => number >= line && number < line + batch.sourceLines);
    expect(batch.lines).toBe(own.length);
    expect(batch.cut.filter((cut) => own.some(({ number }) => number === cut.line))).toEqual(
      own
        .filter(({ bytes }) => bytes.length > options.maxLine)
        .map(({ number, bytes }) => ({ line: number, length: bytes.length })),
    );
    previousKey = batch.key;
    at += batch.bytes;
    line += batch.sourceLines;
  }

  // Of a line that fills the buffer no more is kept than it holds, with the start of its ending where that fits:
  // in earnest far more than KEPT_OF_LONG_LINE.
  const kept = Math.min(KEPT_OF_LONG_LINE, options.batchBytes - 1);
  const long = new Set(
    events.filter(({ bytes }) => bytes.length > options.maxLine).map(({ number }) => number),
  );
  const shown = ({ number, bytes }: Line) =>
    `${number} ${bytes.subarray(0, long.has(number) ? kept : undefined).toString('latin1')}`;
  const found = batches.flatMap((batch) => land(batch, options));
  expect(found.map(shown)).toEqual(events.map(shown));
  for (const { number, bytes } of found) {
    if (long.has(number)) expect(bytes.length).toBeLessThanOrEqual(KEPT_OF_LONG_LINE);
  }
}

const check = (property: fc.IAsyncProperty<unknown>, numRuns: number) =>
  fc.assert(property, { seed: SEED, numRuns });

/** Input full of what matters: endings, white space, carriage returns; blank lines stay shorter than a buffer. */
const shortInput = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom('\n', '\r\n', '\r', ' ', '\t', 'x', '{"a":1}') },
      { weight: 1, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 12 }) },
      { weight: 1, arbitrary: fc.constantFrom('x'.repeat(17), 'long '.repeat(13), `${'y'.repeat(40)}\r`) },
    ),
    { maxLength: 60 },
  )
  .chain((parts) =>
    fc.record({
      text: fc.constant(Buffer.from(parts.join(''), 'latin1')),
      mark: fc.constantFrom(0, 0, 0, 3, 2, 1),
    }),
  )
  .map(({ text, mark }) => Buffer.concat([BOM.subarray(0, mark), text]))
  .filter((input) => linesOf(input).every(({ bytes }) => !isBlank(bytes) || bytes.length < 14));

const chunkSizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });

const smallCut = fc.integer({ min: 16, max: 160 }).chain((batchBytes) =>
  fc.record({
    batchBytes: fc.constant(batchBytes),
    maxLine: fc.integer({ min: 2, max: batchBytes - 2 }),
    flushMs: fc.constant(FOREVER),
  }),
);

/** Batches that hold the whole of a short input. */
const roomyCut = fc.record({
  batchBytes: fc.integer({ min: 2000, max: 3000 }),
  maxLine: fc.integer({ min: 2, max: 200 }),
  flushMs: fc.constant(FOREVER),
});

describe('batches of an input', () => {
  test('cover it once, number its lines, count its events, and give them back', () =>
    check(
      fc.asyncProperty(shortInput, chunkSizes, smallCut, async (input, sizes, options) => {
        expectWhole(input, await collect(inChunks(input, sizes), options), options);
      }),
      3000,
    ));

  test('are the same however it comes in', () =>
    check(
      fc.asyncProperty(shortInput, chunkSizes, chunkSizes, smallCut, async (input, one, other, options) => {
        expect(await collect(inChunks(input, one), options)).toEqual(
          await collect(inChunks(input, other), options),
        );
      }),
      1000,
    ));

  test('differ in their keys from the first that has another byte, or another root', async () => {
    const input = Buffer.from(Array.from({ length: 50 }, (_, i) => `line ${i}\n`).join(''));
    const options = { batchBytes: 64, maxLine: 32, flushMs: FOREVER };
    const keys = async (bytes: Buffer) =>
      (await collect(inChunks(bytes, [7]), options)).map(({ key }) => key);
    const before = await keys(input);
    const changed = Buffer.from(input);
    changed.write('L', input.indexOf('line 25'));
    const after = await keys(changed);
    const same = before.filter((key, i) => key === after[i]).length;
    expect(before.length).toBe(after.length);
    expect(before.length).toBeGreaterThan(5);
    expect(new Set([...before, ...after]).size).toBe(2 * before.length - same);
    const at = before.findIndex((key, i) => key !== after[i]);
    expect(before.slice(at).filter((key) => after.includes(key))).toEqual([]);
    expect(at).toBe(same);
    const [first] = before;
    for await (const batch of cutBatches(inChunks(input, [7]), sha256('other'), options)) {
      expect(batch.key).not.toBe(first);
      break;
    }
  });

  test.each([
    ['by the key they follow', { cut: smallCut, byHead: false }],
    ['also by their head', { cut: roomyCut, byHead: true }],
  ] as const)(
    'are recognised in the same input, and in one that has grown, however it is cut then: %s',
    (_, { cut, byHead }) =>
      check(
        fc.asyncProperty(
          shortInput,
          shortInput,
          chunkSizes,
          cut,
          fc.integer({ min: 0, max: 200 }),
          async (input, more, sizes, before, larger) => {
            const first = await collect(inChunks(input, sizes), before);
            const ledger = new Map<string, KnownBatch[]>();
            const name = (previousKey: string, head: string) => (byHead ? previousKey + head : previousKey);
            for (const batch of first) {
              const at = name(batch.previousKey, batch.head);
              ledger.set(at, [...(ledger.get(at) ?? []), knownAs(batch)]);
            }
            const whole = Buffer.concat([input, more]);
            const second = await collect(
              inChunks(whole, sizes),
              { ...before, batchBytes: before.batchBytes + larger },
              async function* (previousKey, head) {
                // First one of them, as where it was read ahead.
                const all = ledger.get(name(previousKey, head)) ?? [];
                yield all.slice(0, 1);
                yield all;
              },
            );

            const old = withoutMark(input);
            const all = withoutMark(whole);
            const added = all.subarray(old.length).toString('latin1');
            // A carriage return that ends a line and one that is part of its ending: too odd to be held to.
            fc.pre(!(old.at(-1) === 13 && added.startsWith('\r\n')));
            // A last line without an ending is the same only where it has not gone on.
            const wantKnown = all.subarray(0, old.length).equals(old)
              ? first.filter((_, i) => i < first.length - 1 || old.at(-1) === 10 || /^(\r?\n|$)/.test(added))
              : [];
            const fresh = second.filter(({ known }) => !known);
            expect(second.filter(({ known }) => known).map(({ key }) => key)).toEqual(
              wantKnown.map(({ key }) => key),
            );
            const known = wantKnown.reduce((sum, batch) => sum + batch.sourceLines, 0);
            expect(fresh[0]?.firstLine ?? known + 1).toBe(known + 1);
            expect(fresh.reduce((sum, batch) => sum + batch.lines, 0)).toBe(
              linesOf(all).filter(({ number, bytes }) => number > known && !isBlank(bytes)).length,
            );
          },
        ),
        1000,
      ),
  );

  test('are whole where the ledger has others that start alike', () =>
    check(
      fc.asyncProperty(
        shortInput,
        chunkSizes,
        smallCut,
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 3 }),
        async (input, sizes, options, lengths) => {
          const others = lengths.map((bytes) =>
            knownAs({ key: sha256('another'), bytes, lines: 1, sourceLines: 1 }),
          );
          const batches = await collect(inChunks(input, sizes), options, async function* () {
            yield others;
          });
          expectWhole(input, batches, options, { grown: true });
          expect(batches.filter(({ known }) => known)).toEqual([]);
        },
      ),
      1500,
    ));

  test.each([
    ['nothing', ''],
    ['a byte order mark', '\ufeff'],
  ])('%s has none', async (_, text) => {
    const options = { batchBytes: 64, maxLine: 32, flushMs: FOREVER };
    expect(await collect(inChunks(Buffer.from(text), [1]), options)).toEqual([]);
  });

  test('a blank line is no event, even where it fills the buffer', async () => {
    const input = Buffer.from(`a\n${' '.repeat(500)}\nb\n`);
    const options = { batchBytes: 64, maxLine: 32, flushMs: FOREVER };
    expectWhole(input, await collect(inChunks(input, [50]), options), options);
  });

  test('of a source that fails, the whole lines before come first, and then its failure', () =>
    check(
      fc.asyncProperty(shortInput, chunkSizes, smallCut, async (input, sizes, options) => {
        async function* broken(): AsyncGenerator<Uint8Array> {
          yield* inChunks(input, sizes);
          throw new Error('cut short');
        }
        const given: Line[] = [];
        const reading = (async () => {
          for await (const { pieces, ...batch } of cutBatches(broken(), ROOT, options)) {
            given.push(...landed({ ...batch, text: Buffer.concat(pieces) }));
          }
        })();
        await expect(reading).rejects.toThrow('cut short');
        const whole = linesOf(withoutMark(input)).filter(
          ({ bytes, ending }) => ending > 0 && !isBlank(bytes),
        );
        expect(given.map(({ number }) => number)).toEqual(whole.map(({ number }) => number));
      }),
      500,
    ));
});

describe('batches in the engine', () => {
  let folder: string;
  let session: Session;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'infrasage-batch-'));
    session = new Session(join(folder, 'engine'));
  });
  afterAll(() => {
    session.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Spools a batch, and reads it as the store does. */
  const landedInEngine: Land = ({ text, firstLine, crlf, blank, cut }, { maxLine }) => {
    const path = join(folder, 'spool');
    writeFileSync(path, text);
    const lines = batchLines(
      {
        batchId: 'batch',
        path,
        source: 'source',
        firstLine,
        crlf,
        blank,
        cut,
        receivedAt: new Date(0),
        options: {
          tenant: null,
          defaultType: null,
          strict: false,
          assumeUtc: false,
          maxAgeSeconds: null,
          maxLine,
        },
        bindings: [],
      },
      spooledLines(path),
    );
    return session
      .query(
        `SELECT line_number, line_length, base64Encode(line) AS base64 FROM (${lines}) SETTINGS ${ONE_BLOCK}`,
        'JSONEachRow',
      )
      .split('\n')
      .filter(Boolean)
      .map((row) => {
        const { line_number, line_length, base64 } = JSON.parse(row);
        const bytes = Buffer.from(base64, 'base64');
        const length = cut.find(({ line }) => line === line_number)?.length ?? bytes.length;
        expect(line_length).toBe(length);
        return { number: line_number, bytes };
      });
  };

  test('give back lines about as long as what is kept of one, and any others', () => {
    const length = fc.constantFrom(1, 2, KEPT_OF_LONG_LINE - 1, KEPT_OF_LONG_LINE, KEPT_OF_LONG_LINE + 1);
    const run = fc.record({ of: fc.constantFrom(' ', 'x', '\r', '\t', 'é', '"', '\\', '\0'), length });
    const line = fc.record({
      runs: fc.array(run, { maxLength: 3 }),
      ending: fc.constantFrom('\n', '\r\n'),
    });
    const input = fc.record({ all: fc.array(line, { maxLength: 6 }), ended: fc.boolean() });
    const cut = fc.record({
      batchBytes: fc.constantFrom(600_000, 1_000_000),
      maxLine: fc.constantFrom(100, KEPT_OF_LONG_LINE - 1, KEPT_OF_LONG_LINE, KEPT_OF_LONG_LINE + 1, 200_000),
      flushMs: fc.constant(FOREVER),
    });
    return check(
      fc.asyncProperty(input, cut, async ({ all, ended }, options) => {
        // Made here, so that a counterexample stays short.
        const text = all
          .map(({ runs, ending }) => runs.map(({ of, length: n }) => of.repeat(n)).join('') + ending)
          .join('');
        const bytes = Buffer.from(ended ? text : text.replace(/\r?\n$/, ''));
        const batches = await collect(inChunks(bytes, [65_536, 100_000]), options);
        expectWhole(bytes, batches, options, { land: landedInEngine });
      }),
      150,
    );
  });

  test('give back any lines', () =>
    check(
      fc.asyncProperty(shortInput, smallCut, async (bytes, options) => {
        expectWhole(bytes, await collect(inChunks(bytes, [50]), options), options, { land: landedInEngine });
      }),
      150,
    ));
});

describe('slow input', () => {
  const FLUSH = 1000;
  const options = { batchBytes: 200, maxLine: 64, flushMs: FLUSH };

  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());

  /** A source that gives what it is told to, when it is told to. */
  function producer() {
    const waiting: ((result: IteratorResult<Uint8Array>) => void)[] = [];
    const ready: IteratorResult<Uint8Array>[] = [];
    const give = (result: IteratorResult<Uint8Array>) => {
      const taker = waiting.shift();
      if (taker) taker(result);
      else ready.push(result);
    };
    const chunks: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          const result = ready.shift();
          return result ? Promise.resolve(result) : new Promise((resolve) => waiting.push(resolve));
        },
      }),
    };
    return {
      chunks,
      write: (text: string) => give({ done: false, value: Buffer.from(text) }),
      end: () => give({ done: true, value: undefined }),
    };
  }

  /** The next batch's text once it is there; undefined until then. */
  function next(batches: AsyncGenerator<{ pieces: Uint8Array[] }>) {
    const state: { text: string | undefined; done: boolean } = { text: undefined, done: false };
    void batches.next().then((result) => {
      state.done = result.done === true;
      if (!result.done) state.text = Buffer.concat(result.value.pieces).toString();
    });
    return state;
  }

  test('lines are handed over when the first of them has waited its time, while the producer goes on', async () => {
    const source = producer();
    const batches = cutBatches(source.chunks, ROOT, options);
    const first = next(batches);
    await vi.advanceTimersByTimeAsync(10 * FLUSH);
    source.write('a\nb\n');
    await vi.advanceTimersByTimeAsync(FLUSH / 2);
    source.write('c\n');
    await vi.advanceTimersByTimeAsync(FLUSH / 2 - 1);
    expect(first.text).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1);
    expect(first.text).toBe('a\nb\nc\n');

    const second = next(batches);
    source.write('d\n');
    await vi.advanceTimersByTimeAsync(FLUSH);
    expect(second.text).toBe('d\n');

    const last = next(batches);
    source.end();
    await vi.advanceTimersByTimeAsync(0);
    expect(last).toEqual({ done: true, text: undefined });
  });

  test('a line that is not whole waits for its end, and is then handed over at once', async () => {
    const source = producer();
    const batches = cutBatches(source.chunks, ROOT, options);
    const first = next(batches);
    source.write('a\nhalf');
    await vi.advanceTimersByTimeAsync(FLUSH);
    expect(first.text).toBe('a\n');

    const second = next(batches);
    await vi.advanceTimersByTimeAsync(20 * FLUSH);
    source.write(' of');
    await vi.advanceTimersByTimeAsync(20 * FLUSH);
    expect(second.text).toBeUndefined();
    source.write(' it\n');
    await vi.advanceTimersByTimeAsync(0);
    expect(second.text).toBe('half of it\n');
  });

  test('what is left is handed over at the end without waiting', async () => {
    const source = producer();
    const first = next(cutBatches(source.chunks, ROOT, options));
    source.write('a\nb');
    source.end();
    await vi.advanceTimersByTimeAsync(0);
    expect(first.text?.startsWith('a\n')).toBe(true);
  });

  test('a known batch of a source that tells of its pauses is recognised however slowly it is read', async () => {
    const text = 'a\nb\nc\n';
    const known = {
      bytes: text.length,
      lines: 3,
      sourceLines: 3,
      attempt: 1,
      fixed: false,
      committed: true,
    };
    const lookup: Lookup = async function* (previousKey) {
      if (previousKey === ROOT) yield [{ ...known, key: sha256(ROOT, text) }];
    };
    const cutSlowly = async (pause: string) => {
      const source = producer();
      const batches = cutBatches(source.chunks, ROOT, { ...options, live: 'told' }, lookup);
      const first = batches.next();
      source.write('a\nb\n');
      if (pause === 'told') source.write('');
      await vi.advanceTimersByTimeAsync(20 * FLUSH);
      source.write('c\n');
      source.write('');
      const { value } = await first;
      return value && { bytes: value.bytes, known: value.known !== undefined };
    };
    expect(await cutSlowly('none')).toEqual({ bytes: 6, known: true });
    expect(await cutSlowly('told')).toEqual({ bytes: 4, known: false });
  });

  test('a full batch does not wait', async () => {
    const source = producer();
    const first = next(cutBatches(source.chunks, ROOT, options));
    for (let i = 0; i < 30; i++) source.write(`line ${i}\n`);
    await vi.advanceTimersByTimeAsync(0);
    expect(first.text?.startsWith('line 0\nline 1\n')).toBe(true);
  });

  test('pauses anywhere cost nothing: the lines, their numbers and the chain of keys are whole', () =>
    check(
      fc.asyncProperty(
        shortInput,
        chunkSizes,
        smallCut,
        fc.array(fc.boolean(), { minLength: 1, maxLength: 7 }),
        async (input, sizes, cut, pauses) => {
          async function* paused(): AsyncGenerator<Uint8Array> {
            let i = 0;
            for await (const chunk of inChunks(input, sizes)) {
              if (pauses[i++ % pauses.length]) await vi.advanceTimersByTimeAsync(FLUSH + 1);
              yield chunk;
            }
          }
          const slow = { ...cut, flushMs: FLUSH };
          expectWhole(input, await collect(paused(), slow), slow);
        },
      ),
      300,
    ));
});
