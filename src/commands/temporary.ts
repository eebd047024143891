import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbedded, removeDataDir } from '../store/embedded.ts';
import type { Store } from '../store/store.ts';

/** Runs something on an engine of its own that leaves nothing behind. */
export async function withTemporaryStore<T>(use: (store: Store) => Promise<T>): Promise<T> {
  const dataDir = await mkdtemp(join(tmpdir(), 'infrasage-'));
  try {
    const store = await openEmbedded({ dataDir, database: 'infrasage', command: 'dry run' });
    try {
      return await use(store);
    } finally {
      await store.close();
    }
  } finally {
    removeDataDir(dataDir);
  }
}
