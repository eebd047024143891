import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { openEmbedded } from '../src/store/embedded.ts';
import type { EmbeddedStore } from '../src/store/embedded-database.ts';
import { HeldMerges } from '../src/store/held-merges.ts';
import { setRawRetention } from '../src/verify/retention.ts';
import { removeFolder } from './helpers/kept-engine.ts';
import { initialised } from './helpers/template.ts';

let folder: string;
let store: EmbeddedStore;

const open = async ({ shares }: { shares: boolean }) => {
  store = await openEmbedded({
    dataDir: join(folder, 'data'),
    database: 'infrasage',
    command: 'test',
    shares,
  });
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'infrasage-merges-'));
  initialised(join(folder, 'data'));
});

afterEach(async () => {
  await store.close();
  removeFolder(folder);
});

/** Events of one month, each a part of its own. */
const insertParts = (count: number) =>
  store.command(
    `INSERT INTO {{db}}.infrasage_raw_firehose (tenant_id, timestamp, event_type, service_id)
    SELECT 'acme', '2026-11-01 10:00:00', 'log', toString(number) FROM numbers(${count})
    SETTINGS max_block_size = 1, min_insert_block_size_rows = 1, max_insert_threads = 1`,
  );
const merge = () => store.command('OPTIMIZE TABLE {{db}}.infrasage_raw_firehose FINAL');
const HELD = /Cancelled merging parts/;

describe('merges of the raw events', () => {
  test('wait while a command runs, but for one that changes rows', async () => {
    await open({ shares: false });
    await insertParts(2);
    await expect(merge()).rejects.toThrow(HELD);
    await store.mutate(`ALTER TABLE {{db}}.infrasage_raw_firehose DELETE WHERE service_id = '1'`);
    await merge();
  });

  test('go on in a process that stays', async () => {
    await open({ shares: true });
    await insertParts(2);
    await merge();
  });

  test('go on while a command ingests once there are very many parts', async () => {
    await open({ shares: false });
    const merges = await HeldMerges.of(store, { many: 30 });
    await merges.beforeBatch();
    await insertParts(29);
    // Looked at again after so many batches.
    for (let i = 0; i < 25; i++) await merges.beforeBatch();
    await expect(merge()).rejects.toThrow(HELD);
    await insertParts(1);
    for (let i = 0; i < 25; i++) await merges.beforeBatch();
    await merge();
  });

  test('are done by short ingests, one after the other, where many parts are there', async () => {
    await open({ shares: true });
    await store.command('SYSTEM STOP MERGES {{db}}.infrasage_raw_firehose');
    await insertParts(200);
    await store.close();
    const parts = async () => {
      const [row] = await store.query(
        `SELECT count() AS parts FROM system.parts WHERE active AND table = 'infrasage_raw_firehose'`,
        z.object({ parts: z.coerce.number() }),
      );
      return row?.parts ?? 0;
    };
    let runs = 0;
    do {
      await open({ shares: false });
      const merges = await HeldMerges.of(store);
      await merges.beforeBatch();
      await insertParts(1);
      await merges.close();
      runs += 1;
      if ((await parts()) < 100) break;
      await store.close();
    } while (runs < 30);
    expect(await parts()).toBeLessThan(100);
  });

  test('go on while a command ingests where raw events have a term', async () => {
    await open({ shares: false });
    await insertParts(2);
    await setRawRetention(store, 86_400 * 365, new Date());
    const merges = await HeldMerges.of(store);
    await expect(merge()).rejects.toThrow(HELD);
    await merges.beforeBatch();
    await merge();
  });
});
