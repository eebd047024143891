import { type GlobalFlags, readConfig } from '../config.ts';
import type { Io } from '../io.ts';
import { tenantsLike } from '../reports/tenants.ts';
import { readSettings } from '../settings/layers.ts';
import { openAtOnce } from '../store/open.ts';
import { inspectServer } from '../store/server/inspect.ts';
import type { Reader } from '../store/store.ts';

/** A person waits for it: what takes longer is not offered, ms. */
const PATIENCE_MS = 3_000;
/** More than anybody looks through. */
const MOST = 200;

/**
 * The tenants whose names begin so, of the data that a command line with these flags would be about; none where that
 * cannot be told at once. Makes nothing, waits for nobody, and says nothing.
 */
export async function tenantNames(prefix: string, flags: GlobalFlags, io: Io): Promise<string[]> {
  let reader: (Reader & { close(): Promise<void> }) | undefined;
  const find = async () => {
    const { env } = await readSettings(io.env, { folder: process.cwd(), configFile: flags.config });
    const { clickhouse, dataDir, database } = readConfig(flags, { ...io, env });
    reader = clickhouse
      ? await inspectServer(clickhouse, { database, silenceMs: PATIENCE_MS })
      : await openAtOnce({ dataDir, database, command: 'completion' });
    return reader ? tenantsLike(reader, { prefix, limit: MOST }) : [];
  };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string[]>((resolve) => {
    timer = setTimeout(() => resolve([]), PATIENCE_MS);
  });
  try {
    return await Promise.race([find().catch(() => []), late]);
  } finally {
    clearTimeout(timer);
    await reader?.close();
  }
}
