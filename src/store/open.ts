import { setTimeout as wait } from 'node:timers/promises';
import { InfrasageError } from '../errors.ts';
import { isKnown, isMade, recordedSchema } from './data-dir.ts';
import type { EmbeddedStore } from './embedded-database.ts';
import { noDatabase } from './failure.ts';
import { DirectoryInUse, type Holder, holderOf } from './lock.ts';
import { fingerprint } from './schema.ts';
import { connectShared } from './socket-client.ts';
import type { Store } from './store.ts';

/** How long a process that shares its directory, or has it briefly, is waited for: it may be starting, or stopping. Milliseconds. */
const PATIENCE = 30_000;

/**
 * Opens the store of a data directory: where another process shares it,
 * through that; else with the engine inside this process, which is loaded
 * only then.
 * @param options.command what this process runs, for others that find the directory in use
 * @param options.brief whether it is closed within a moment: others wait for that
 * @param options.create whether a directory or database that is not there is made; else that is an error, and nothing
 *   is made
 * @param options.schema whether the database is brought to its schema; without it, what is there can be read
 * @throws InfrasageError (exit 3) as openEmbedded
 */
export async function openStore(options: Opening): Promise<Store> {
  const start = performance.now();
  for (;;) {
    const shared = await connectShared(options);
    if (shared) return shared;
    const opened = await openAlone(options);
    if (!('shares' in opened)) return opened;
    await patience(start, options.dataDir, opened);
  }
}

/**
 * The store where it can be had at once, as it is: undefined where there is none, where another process has it and
 * does not share it, and where it would have to be changed first. Makes nothing.
 */
export async function openAtOnce(
  options: Omit<Opening, 'create' | 'schema' | 'brief'>,
): Promise<Store | undefined> {
  const { dataDir, database } = options;
  if (!isMade(dataDir) || recordedSchema(dataDir, database) !== fingerprint()) return undefined;
  if (holderOf(dataDir)) return connectShared(options);
  const { openEmbedded } = await import('./embedded.ts');
  return openEmbedded({ ...options, schema: false, brief: true });
}

/**
 * Opens the store of a data directory with the engine inside this process, to share it (see socket-server.ts); waits
 * for who has the directory briefly.
 * @throws InfrasageError (exit 3) as openEmbedded
 */
export async function openToShare(
  options: Omit<Opening, 'brief' | 'create' | 'schema'>,
): Promise<EmbeddedStore> {
  const start = performance.now();
  const { openEmbedded } = await import('./embedded.ts');
  for (;;) {
    try {
      return await openEmbedded({ ...options, shares: true });
    } catch (error) {
      if (!(error instanceof DirectoryInUse && error.holder.brief)) throw error;
      await patience(start, options.dataDir, error.holder);
    }
  }
}

async function patience(start: number, dataDir: string, holder: Holder): Promise<void> {
  if (performance.now() - start > PATIENCE) throw silent(dataDir, holder);
  await wait(50);
}

interface Opening {
  dataDir: string;
  database: string;
  command: string;
  create?: boolean;
  schema?: boolean;
  brief?: boolean;
  /** Whether this process is going to share the store, where no other does. */
  shares?: boolean;
}

/** Whether a store has its engine in this process, and so can be shared. */
export function isEmbedded(store: Store): store is EmbeddedStore {
  return 'forDatabase' in store;
}

/** The store, or who has it and is going to share it or has just ceased to. */
async function openAlone({ create = false, ...options }: Opening): Promise<Store | Holder> {
  const { dataDir } = options;
  const holder = holderOf(dataDir);
  if (holder?.shares || holder?.brief) return holder;
  if (!create && !isMade(dataDir)) {
    throw new InfrasageError(`there is no infrasage data in ${dataDir}`, {
      hint: 'infrasage init makes a data directory, and so does the first ingest; or give another --data-dir',
    });
  }
  if (!create && !isKnown(dataDir, options.database)) throw noDatabase(options.database, `in ${dataDir}`);
  const { openEmbedded } = await import('./embedded.ts');
  try {
    return await openEmbedded(options);
  } catch (error) {
    if (error instanceof DirectoryInUse && (error.holder.shares || error.holder.brief)) return error.holder;
    throw error;
  }
}

function silent(dataDir: string, { pid, command }: Holder): InfrasageError {
  return new InfrasageError(
    `the data directory ${dataDir} is in use by process ${pid} (infrasage ${command}), which does not answer`,
    { hint: 'it may still be starting or stopping; if not, end it and start it again' },
  );
}
