import { EventEmitter, once } from 'node:events';
import { appendFileSync, copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { InfrasageError } from '../src/errors.ts';
import { ingest } from '../src/ingest/ingest.ts';
import type { IngestOptions } from '../src/ingest/options.ts';
import { recover } from '../src/ingest/recover.ts';
import { fileSource, type Source } from '../src/ingest/source.ts';
import type { IngestSummary } from '../src/ingest/summary.ts';
import type { Store } from '../src/store/store.ts';
import { verify } from '../src/verify/verify.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { guarded } from './helpers/failing.ts';
import { ingestOptions } from './helpers/ingest-options.ts';

const OPTIONS = ingestOptions({ maxLine: 300, batchBytes: 500 });

let box: Sandbox;
let store: Store;
/** How often the ledger was asked for what follows in a chain. */
let asked = 0;
beforeEach(async () => {
  box = sandbox({ initialised: true });
  const opened = await box.openStore();
  store = new Proxy(opened, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      if (property !== 'query') return value.bind(target);
      return (sql: string, ...rest: unknown[]) => {
        if (sql.includes('previous_key')) asked += 1;
        return value.call(target, sql, ...rest);
      };
    },
  });
});
afterEach(async () => {
  await store.close();
  await box.remove();
});

async function ingestFiles(
  paths: readonly string[],
  options: Partial<IngestOptions> = {},
): Promise<IngestSummary> {
  asked = 0;
  const sources = paths.map((path) => fileSource(path));
  return ingest(sources, { ...OPTIONS, ...options }, { store, now: () => new Date() });
}

/** So many events, some two of which are a batch. */
const events = (name: string, count: number) =>
  lines(...Array.from({ length: count }, (_, i) => event({ service_id: `${name}-${i}` })));

it('recognises many small batches with a few questions, also where they came one by one under other names', async () => {
  const path = join(box.folder, 'growing.ndjson');
  writeFileSync(path, events('first', 16));
  expect(await ingestFiles([path])).toMatchObject({ lines: 16n, accepted: 16n });
  expect(asked).toBeLessThan(4);
  for (let i = 0; i < 5; i++) {
    const name = join(box.folder, `copy-${i}.ndjson`);
    appendFileSync(path, events(`grown-${i}`, 2));
    copyFileSync(path, name);
    expect(await ingestFiles([name])).toMatchObject({ accepted: 2n, skipped: 16n + 2n * BigInt(i) });
  }
  expect(await ingestFiles([path])).toMatchObject({ lines: 26n, accepted: 0n, skipped: 26n });
  expect(asked).toBeLessThan(4);
  // Larger batches: what is known is recognised as it was cut then.
  appendFileSync(path, events('last', 1));
  expect(await ingestFiles([path], { batchBytes: 1_000_000 })).toMatchObject({ accepted: 1n, skipped: 26n });
  expect((await verify(store)).differences).toEqual([]);
});

it('knows what this very run has begun beside what it has read ahead, and counts it once', async () => {
  const [known, more] = [join(box.folder, 'known.ndjson'), join(box.folder, 'more.ndjson')];
  writeFileSync(known, events('a', 8));
  await ingestFiles([known]);
  writeFileSync(more, events('a', 8) + events('b', 8));
  expect(await ingestFiles([known, more, more, known])).toMatchObject({ accepted: 8n, skipped: 40n });
  expect(await ingestFiles([more, more], { dryRun: true })).toMatchObject({ accepted: 16n, skipped: 16n });
  expect((await verify(store)).differences).toEqual([]);
});

/**
 * A store that writes one batch of a run alone. Those before it fail once it is stored.
 * @param answered whether it is told so, and the batch is committed
 */
function writingOnly(nth: number, { answered }: { answered: boolean }): Store {
  const batch = new EventEmitter();
  const stored = once(batch, 'stored');
  let written = 0;
  return guarded(store, ['writeBatch'], async (call) => {
    written += 1;
    if (written === nth) {
      await call();
      batch.emit('stored');
      if (answered) return;
    }
    await stored;
    throw new InfrasageError('the disk is full');
  });
}

it.each([
  {
    nth: 3,
    answered: true,
    behind: 2n,
    what: 'two batches that failed again, where one behind them is committed',
  },
  {
    nth: 2,
    answered: false,
    behind: 3n,
    what: 'a batch that failed again, where one behind it may yet be committed',
  },
])('takes the cut of $what', async ({ nth, answered, behind }) => {
  const path = join(box.folder, 'behind.ndjson');
  writeFileSync(path, events('a', 12));
  const deps = { store: writingOnly(nth, { answered }), now: () => new Date() };
  await expect(ingest([fileSource(path)], OPTIONS, deps)).rejects.toThrow('the disk is full');
  const again = await ingestFiles([path], { batchBytes: 1_000_000 });
  expect(again).toMatchObject({ lines: 12n, accepted: 12n - behind, skipped: behind });
  await recover(store, deps);
  expect((await verify(store)).checks[0]).toMatchObject({ rows: 12n, differences: 0n });
});

it.each(['is stopped', 'fails'])('counts once what %s within a batch that is known', async (how) => {
  const text = Buffer.from(events('a', 12));
  const path = join(box.folder, 'whole.ndjson');
  writeFileSync(path, text);
  await ingestFiles([path], { batchBytes: 1_000_000 });
  const stop = new AbortController();
  const source: Source = {
    name: '-',
    once: true,
    ended: () => false,
    async *read() {
      yield text.subarray(0, text.length / 2);
      if (how === 'fails') throw new InfrasageError('it cannot be read to its end');
      stop.abort();
    },
  };
  const deps = { store, now: () => new Date(), stop: stop.signal };
  const broken = ingest([source], OPTIONS, deps);
  if (how === 'fails') await expect(broken).rejects.toThrow('it cannot be read to its end');
  else expect(await broken).toMatchObject({ lines: 0n });
  expect(await ingestFiles([path])).toMatchObject({ lines: 12n, skipped: 12n });
  expect((await verify(store)).checks[0]).toMatchObject({ rows: 12n, differences: 0n });
});
