import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Context } from '../context.ts';
import { openEmbedded, removeDataDir } from '../store/embedded.ts';
import type { Store } from '../store/store.ts';

/** Runs something that writes nothing on an engine of its own without tables, or on the server, and leaves nothing behind. */
export async function withTemporaryStore<T>(context: Context, use: (store: Store) => Promise<T>): Promise<T> {
  const dataDir = await mkdtemp(join(tmpdir(), 'infrasage-'));
  try {
    // The schema would wait for the disk some 60 times.
    const store = context.config.clickhouse
      ? await context.serverToJudge(context.config.clickhouse, dataDir)
      : await openEmbedded({ dataDir, database: 'infrasage', command: 'dry run', schema: false });
    try {
      return await use(store);
    } finally {
      await store.close();
    }
  } finally {
    removeDataDir(dataDir);
  }
}
