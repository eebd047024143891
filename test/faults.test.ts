import { afterEach, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { ingest } from '../src/ingest/ingest.ts';
import { recover } from '../src/ingest/recover.ts';
import { fileSource } from '../src/ingest/source.ts';
import { type Store, uint64 } from '../src/store/store.ts';
import { verify } from '../src/verify/verify.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { runSeed, seeded } from './helpers/crash.ts';
import { event, lines } from './helpers/events.ts';
import { failing, failingAtRandom } from './helpers/failing.ts';
import { ingestOptions } from './helpers/ingest-options.ts';

let box: Sandbox;
let store: Store;
beforeEach(async () => {
  box = sandbox({ initialised: true });
  store = await box.openStore();
});
afterEach(async () => {
  await store.close();
  await box.remove();
});

/** Every kind of failure of every kind of source: npm run test:crash. */
const ALL = process.env.INFRASAGE_FAULTS === 'all';

const OPTIONS = ingestOptions({ maxLine: 500, batchBytes: 900 });

it('is exact whatever write fails, before or after it was done, in ingest and in recovery, also with the clock set back', async () => {
  // Twelve events and three bad lines in three batches, from two sources: a file and what can be read only once.
  const events = Array.from({ length: 12 }, (_, i) => event({ service_id: `service-${i}` }));
  const input = lines(...events.slice(0, 7), 'no json', '[]', ...events.slice(7), '{}');
  const path = box.file('events.ndjson', input);
  const once = () => ({ ...fileSource(path), once: true });
  const time = { now: Date.now() };
  // The clock goes back a minute with every look at it.
  const now = () => {
    time.now -= 60_000;
    return new Date(time.now);
  };
  const settle = (on: Store) => recover(on, { now });
  const both = [false, true];
  for (const source of [() => fileSource(path), once]) {
    // In short: of what can be read once, lines that are spooled and not stored; of a file, what is stored without an
    // answer, and read again.
    for (const after of ALL ? both : [source !== once]) {
      let cases = 0;
      for (let nth = 1, reached = true; reached; nth++) {
        for (const table of ['raw_firehose', 'usage_metering', 'dlq', 'ingest_batches']) {
          await store.command(`TRUNCATE TABLE {{db}}.infrasage_${table}`);
        }
        const broken = failing(store, { nth, after });
        await ingest([source()], OPTIONS, { store: broken, now }).catch(expectInjected);
        reached = broken.reached;
        // Recovery meets a failure of its own first, at a place that moves along.
        await settle(failing(store, { nth: 1 + (nth % 5), after: !after })).catch(expectInjected);
        await settle(store);
        const summary = await ingest([source()], OPTIONS, { store, now });
        expect(summary.lines).toBe(15n);
        await expectAll(store, { nth, after });
        cases += 1;
      }
      // Nine writes an ingest of three batches, and more where batches are done again: through them all.
      expect(cases).toBeGreaterThan(9);
    }
  }
});

/** Inputs, each interrupted a few times. */
const INPUTS = ALL ? 60 : 4;

it(
  'is exact whichever of the batches under way fail, and however what is left is cut then',
  async () => {
    const seed = runSeed();
    console.log(`faults test: seed ${seed}`);
    const random = seeded(seed);
    const now = () => new Date();
    for (let i = 0; i < INPUTS; i++) {
      const path = box.file(
        'events.ndjson',
        lines(...Array.from({ length: 20 }, (_, n) => event({ service_id: `input-${i}-${n}` }))),
      );
      const once = random() < 0.3;
      const run = (on: Store) =>
        ingest(
          [{ ...fileSource(path), once }],
          { ...OPTIONS, batchBytes: 600 + Math.floor(random() * 2_000) },
          {
            store: on,
            now,
          },
        );
      for (let interrupted = 0; interrupted < 3; interrupted++) {
        await run(failingAtRandom(store, { random, share: 0.6 })).catch(expectInjected);
        if (random() < 0.5) await recover(store, { now });
      }
      expect((await run(store)).lines).toBe(20n);
    }
    const [counted] = await store.query(
      `SELECT count() AS events, uniqExact(service_id) AS services FROM {{db}}.infrasage_raw_firehose`,
      z.object({ events: uint64, services: uint64 }),
    );
    const all = 20n * BigInt(INPUTS);
    expect({ seed, ...counted }).toEqual({ seed, events: all, services: all });
    const { differences, pendingBatches } = await verify(store);
    expect({ seed, differences, pendingBatches }).toEqual({ seed, differences: [], pendingBatches: 0n });
  },
  60_000 + INPUTS * 20_000,
);

function expectInjected(error: unknown): void {
  expect(error).toMatchObject({ message: 'injected failure' });
}

async function expectAll(store: Store, context: object): Promise<void> {
  const [counted] = await store.query(
    `SELECT (SELECT count() FROM {{db}}.infrasage_raw_firehose) AS events,
      (SELECT uniqExact(service_id) FROM {{db}}.infrasage_raw_firehose) AS services,
      (SELECT sum(event_count) FROM {{db}}.infrasage_usage_metering) AS metered,
      (SELECT count() FROM {{db}}.infrasage_dlq) AS letters`,
    z.object({ events: uint64, services: uint64, metered: uint64, letters: uint64 }),
  );
  expect({ ...context, ...counted }).toEqual({
    ...context,
    events: 12n,
    services: 12n,
    metered: 12n,
    letters: 3n,
  });
  const { differences, pendingBatches } = await verify(store);
  expect({ ...context, differences, pendingBatches }).toEqual({
    ...context,
    differences: [],
    pendingBatches: 0n,
  });
}
