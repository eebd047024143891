import { rmSync } from 'node:fs';
import { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import { assertReadable } from './data-dir.ts';
import { DatabaseStore, type EmbeddedStore, openDatabase, prepareDatabase } from './embedded-database.ts';
import { openSession, Sessions } from './embedded-sessions.ts';
import { type EngineSession, loadEngine } from './engine.ts';
import { storeFailure } from './failure.ts';
import { takeLock } from './lock.ts';
import { parseRows } from './text-rows.ts';

/**
 * Opens the engine inside this process on a data directory, which is made
 * where it is not there, and brings its schema up to date.
 * @param options.command what this process runs, for others that find the directory in use
 * @param options.schema whether it is brought to its schema; without one, a store judges lines and takes none
 * @param options.shares whether this process is going to share the store (see socket-server.ts)
 * @param options.brief whether it is closed within a moment, for which others wait
 * @throws InfrasageError (exit 3) where the directory cannot be used: no directory, no permission,
 *   in use by another process (DirectoryInUse), or written by a newer program or engine
 */
export async function openEmbedded({
  dataDir,
  database,
  command,
  schema = true,
  shares = false,
  brief = false,
}: {
  dataDir: string;
  database: string;
  command: string;
  schema?: boolean;
  shares?: boolean;
  brief?: boolean;
}): Promise<EmbeddedStore> {
  // What the engine writes is for this user alone.
  process.umask(0o077);
  prepareDatabase(dataDir, database);
  const engine = await loadEngine();
  const known = assertReadable(dataDir, engine);
  const lock = takeLock(dataDir, { command, shares, brief });
  const sessions = new Sessions<DatabaseStore>(dataDir, () => openSession(engine, dataDir), lock.release);
  try {
    const version = known ?? (await versionOf(await sessions.main()));
    const build = { package: engine.package, version };
    if (!schema) return new DatabaseStore(database, sessions, build);
    return await openDatabase(database, sessions, { build, stays: shares });
  } catch (error) {
    await sessions.close();
    throw connectionFailure(error, dataDir);
  }
}

async function versionOf(session: EngineSession): Promise<string> {
  const answer = await session.run('SELECT version() AS version', { format: 'JSONEachRow' });
  const [row] = z.tuple([z.object({ version: z.string() })]).parse(parseRows(answer));
  return row.version;
}

function connectionFailure(error: unknown, dataDir: string): InfrasageError {
  if (error instanceof InfrasageError) return error;
  if (error instanceof Error && error.name === 'ChdbConnectionError') {
    return new InfrasageError(`the engine cannot open the data directory ${dataDir}`, {
      hint: 'another program may have it open (the line above says what the engine found); wait, or give another --data-dir',
      cause: error,
    });
  }
  return storeFailure(error);
}

/** Removes a data directory that was made for one run. */
export function removeDataDir(dataDir: string): void {
  rmSync(dataDir, { recursive: true, force: true });
}
