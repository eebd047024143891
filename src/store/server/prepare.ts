import { z } from 'zod';
import { InfrasageError } from '../../errors.ts';
import { bringUpToDate, isUpToDate } from '../migrate.ts';
import { lockTables } from '../schema.ts';
import type { Store } from '../store.ts';
import type { Connection } from './connection.ts';
import { CODE, codeOf } from './failure.ts';
import { assertGranted } from './grants.ts';
import { parseRows } from './row-locks.ts';

/** Some functions and settings that the schema uses came with this version. */
const OLDEST = { year: 25, release: 4 };

/**
 * The version of a server.
 * @throws InfrasageError (exit 3) where it cannot be reached, or is too old
 */
export async function engineOf(connection: Connection): Promise<string> {
  const answer = await connection.run({ sql: 'SELECT version() AS version' });
  const [row] = z.array(z.object({ version: z.string() })).parse(parseRows(answer));
  const version = row?.version ?? '';
  const [year = 0, release = 0] = version.split('.').map(Number);
  if (year < OLDEST.year || (year === OLDEST.year && release < OLDEST.release)) {
    const { origin } = connection.address.url;
    throw new InfrasageError(
      `the ClickHouse server at ${origin} is version ${version}, and infrasage needs ${OLDEST.year}.${OLDEST.release} or later`,
      { hint: 'update the server' },
    );
  }
  return version;
}

/**
 * Brings a database of a server to this program's schema, which takes one query where it is there already.
 * @throws InfrasageError (exit 3) where a newer program has changed it, or a grant is missing
 */
export async function migrateServer(store: Store, connection: Connection): Promise<void> {
  let there = true;
  try {
    if (await isUpToDate(store)) return;
  } catch (error) {
    const code = codeOf(error);
    there = code !== CODE.unknownDatabase;
    if (![CODE.unknownDatabase, CODE.unknownTable, CODE.noAccess].some((known) => known === code))
      throw error;
  }
  // First of all, so that nothing is half made.
  await assertGranted(connection, store.database, 'prepare');
  if (!there) await store.command('CREATE DATABASE IF NOT EXISTS {{db}}');
  for (const statement of lockTables()) await store.command(statement);
  await store.exclusively('schema', () => bringUpToDate(store));
}
