import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  type LedgerEntry,
  pendingBatches,
  recordAbort,
  recordCommit,
  recordIntent,
} from '../src/ingest/ledger.ts';
import { thisProcess } from '../src/store/process.ts';
import { PLAIN_LINES, type Store } from '../src/store/store.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';

let box: Sandbox;
let store: Store;
beforeAll(async () => {
  box = sandbox({ initialised: true });
  store = await box.openStore();
  // Intents and outcomes stay the rows that were written.
  await store.command('SYSTEM STOP MERGES {{db}}.infrasage_ingest_batches');
});
afterAll(async () => {
  await store.close();
  await box.remove();
});
beforeEach(() => store.command('TRUNCATE TABLE {{db}}.infrasage_ingest_batches'));

const NOW = new Date('2026-11-24T12:00:00Z');
const NOTHING = { accepted: 0n, rejected: 0n, bytesReceived: 0n, bytesIngested: 0n, errors: {}, months: {} };

function entry(key: string, attempt = 1): LedgerEntry {
  return {
    ...{ batchId: `${key}#${attempt}`, key, previousKey: `before ${key}`, head: 'head', attempt },
    ...{
      source: 'events.ndjson',
      once: false,
      spooled: 10,
      bytes: 10,
      firstLine: 1,
      sourceLines: 1,
      lines: 1,
    },
    ...{ crlf: false, blank: false, cut: [], bindings: [], options: PLAIN_LINES },
    ...{ owner: thisProcess(), receivedAt: NOW },
  };
}

const pending = async (place?: LedgerEntry) =>
  (await pendingBatches(store, place)).map(({ batchId }) => batchId);

describe('batches that are pending', () => {
  it('are those without an outcome, of each attempt its own, of all places or of one', async () => {
    const batches = {
      begun: entry('begun'),
      done: entry('done'),
      gone: entry('gone'),
      again: entry('gone', 2),
    };
    for (const batch of Object.values(batches)) await recordIntent(store, batch, NOW);
    // Written down twice, as where the first answer was lost.
    await recordIntent(store, batches.begun, NOW);
    await recordCommit(store, batches.done, NOTHING, NOW);
    await recordAbort(store, batches.gone, NOW);
    expect(await pending()).toEqual(['begun#1', 'gone#2']);
    expect(await pending(batches.gone)).toEqual(['gone#2']);
    expect(await pending(batches.done)).toEqual([]);
    await recordCommit(store, batches.again, NOTHING, NOW);
    await recordCommit(store, batches.begun, NOTHING, NOW);
    expect(await pending()).toEqual([]);
  });

  it('are found without reading a long ledger', async () => {
    await store.command(
      `INSERT INTO {{db}}.infrasage_ingest_batches (batch_id, key, previous_key, attempt, revision, state, cut, owner, options)
      SELECT concat(hash, '#1'), lower(hex(SHA256(toString(number)))) AS hash, lower(hex(SHA256(toString(number + 1)))),
        1, 2, 'committed', '[]', repeat('o', 80), repeat('p', 120)
      FROM numbers(300000)`,
    );
    await recordIntent(store, entry('begun'), NOW);
    const whole = () =>
      store.query(
        `SELECT * FROM {{db}}.infrasage_ingest_batches FINAL WHERE state = 'pending'`,
        z.object({ batch_id: z.string() }),
      );
    expect(await pending()).toEqual(['begun#1']);
    expect(await cpu(() => pending())).toBeLessThan((await cpu(whole)) / 3);
  });
});

/** Least CPU time of five runs, µs. */
async function cpu(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const start = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(start);
    times.push(user + system);
  }
  return Math.min(...times);
}
