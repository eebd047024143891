import { type GlobalFlags, readConfig } from '../config.ts';
import type { Io } from '../io.ts';
import { tenantsLike } from '../reports/tenants.ts';
import { readSettings, type Settings } from '../settings/layers.ts';
import { openAtOnce } from '../store/open.ts';
import { inspectServer } from '../store/server/inspect.ts';
import type { Reader } from '../store/store.ts';

/** A person waits for it: what takes longer is not offered, ms. */
const PATIENCE_MS = 3_000;
/** More than anybody looks through. */
const MOST = 200;

/**
 * The tenants whose names begin so, of the data that a command line with these flags would be about; none where that
 * cannot be told at once, or where only a file in the working directory says which data that is: a key pressed in a
 * cloned repository sends no password to a server that the repository names, and opens nothing that came with it.
 * Makes nothing, waits for nobody, and says nothing.
 */
export async function tenantNames(prefix: string, flags: GlobalFlags, io: Io): Promise<string[]> {
  let reader: (Reader & { close(): Promise<void> }) | undefined;
  const find = async () => {
    const settings = await readSettings(io.env, { folder: process.cwd(), configFile: flags.config });
    const { clickhouse, dataDir, database } = readConfig(flags, { ...io, env: settings.env });
    if (isLaid(settings, flags, clickhouse !== undefined)) return [];
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

/** Whether a file in the working directory decides where the data is, or whom to take for its server. */
function isLaid({ found }: Settings, flags: GlobalFlags, onServer: boolean): boolean {
  const says = (variable: string) => found.get(variable)?.isLaid ?? false;
  return onServer
    ? (flags.clickhouse === undefined && says('INFRASAGE_CLICKHOUSE_URL')) ||
        says('INFRASAGE_CLICKHOUSE_CA_FILE')
    : flags.dataDir === undefined && says('INFRASAGE_DATA_DIR');
}
