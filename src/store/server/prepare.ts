import { z } from 'zod';
import type { ServerAddress } from '../../config.ts';
import { InfrasageError } from '../../errors.ts';
import { noDatabase } from '../failure.ts';
import { bringUpToDate, isUpToDate } from '../migrate.ts';
import { lockTables } from '../schema.ts';
import type { Store } from '../store.ts';
import { parseRows } from '../text-rows.ts';
import type { Connection } from './connection.ts';
import { CODE, codeOf } from './failure.ts';
import type { Nodes } from './nodes.ts';

/** Some functions and settings that the schema uses came with this version. */
const OLDEST = { year: 25, release: 4 };

/** What a server is, and where a database of it is. */
export interface Found {
  engineVersion: string;
  /** Whether the database is on a cluster. */
  onCluster: boolean;
  /** Whether it is on this server alone. */
  onOne: boolean;
}

const foundRow = z.object({
  version: z.string(),
  on_cluster: z.coerce.boolean(),
  on_one: z.coerce.boolean(),
});

/**
 * Looks what a server is.
 * @throws InfrasageError (exit 3) where it cannot be reached, or is too old
 */
export async function engineOf(connection: Connection, database: string): Promise<Found> {
  const answer = await connection.run({
    sql: `SELECT version() AS version,
      countIf(name = 'infrasage_cluster') > 0 AS on_cluster,
      countIf(name = 'infrasage_migrations') > 0 AND NOT on_cluster AS on_one
    FROM system.tables WHERE database = {database:String}`,
    params: { database },
  });
  const [row] = z.array(foundRow).parse(parseRows(answer));
  const version = row?.version ?? '';
  const [year = 0, release = 0] = version.split('.').map(Number);
  if (year < OLDEST.year || (year === OLDEST.year && release < OLDEST.release)) {
    const { origin } = connection.address.url;
    throw new InfrasageError(
      `the ClickHouse server at ${origin} is version ${version}, and infrasage needs ${OLDEST.year}.${OLDEST.release} or later`,
      { hint: 'update the server' },
    );
  }
  return { engineVersion: version, onCluster: row?.on_cluster ?? false, onOne: row?.on_one ?? false };
}

/**
 * Brings a database of a server to this program's schema, which takes one query where it is there already.
 * @param options.anew whether every statement is repeated, as some node of a cluster may be new
 * @param options.create whether it is made where it is not there, or has nothing of infrasage in it
 * @throws InfrasageError (exit 3) where a newer program has changed it, or a grant is missing
 */
export async function migrateServer(
  store: Store,
  nodes: Nodes,
  { address, anew, create }: { address: ServerAddress; anew: boolean; create: boolean },
): Promise<void> {
  let there = true;
  try {
    if (!anew && (await isUpToDate(store))) return;
  } catch (error) {
    const code = codeOf(error);
    there = code !== CODE.unknownDatabase;
    if (![CODE.unknownDatabase, CODE.unknownTable, CODE.noAccess].some((known) => known === code))
      throw error;
    if (!create && code !== CODE.noAccess)
      throw noDatabase(store.database, `on the ClickHouse server at ${address.url.origin}`);
  }
  // First of all, so that nothing is half made.
  await nodes.assertGranted();
  if (!there) await store.command('CREATE DATABASE IF NOT EXISTS {{db}}');
  for (const statement of lockTables()) await store.command(statement);
  await store.exclusively('schema', () => bringUpToDate(store, { anew }));
}
