import type { ServerAddress } from '../../config.ts';
import { InfrasageError } from '../../errors.ts';
import { prepareDirectory } from '../directory.ts';
import { NO_RETRIES, type Store } from '../store.ts';
import { Connection } from './connection.ts';
import { type ClusterWish, clusterOf, Nodes, planCluster } from './nodes.ts';
import { engineOf, migrateServer } from './prepare.ts';
import { retries } from './retry.ts';
import { ServerStore } from './server-store.ts';
import { spoolFolders } from './spool-folder.ts';

export interface ServerOptions {
  address: ServerAddress;
  database: string;
  /** Where batches are spooled, in a folder a server and database. */
  dataDir: string;
  /** Told of the first failure that is waited for, each time the server has not answered. */
  onWait: (failure: InfrasageError) => void;
  /** Makes the database on a cluster, or brings what is there on it up to date. */
  cluster?: ClusterWish;
  /** Whether the schema is brought up to date; without it, only judgeBatch works. Default true. */
  migrate?: boolean;
  /** Whether a database that is not there is made; else that is an error. Default true. */
  create?: boolean;
}

/**
 * Opens a database of a ClickHouse server, and brings its schema up to date.
 * @throws InfrasageError (exit 3) where it cannot be reached or used: address, credentials, grants, version
 */
export async function openServer({
  address,
  database,
  dataDir,
  onWait,
  cluster: wish,
  migrate = true,
  create = true,
}: ServerOptions): Promise<Store> {
  const spoolDir = prepareDirectory(dataDir, ...spoolFolders(address, database));
  const connection = new Connection(address, retries(address.retryForMs, Math.random), onWait);
  try {
    const { engineVersion, onCluster, onOne } = await engineOf(connection, database);
    if (wish && onOne) {
      throw new InfrasageError(`the database ${database} is on one server already`, {
        hint: 'name another one with --database',
      });
    }
    const cluster = wish
      ? await planCluster(connection, database, wish)
      : onCluster
        ? await clusterOf(connection, database)
        : undefined;
    const nodes = new Nodes(connection, database, cluster);
    if (wish) await nodes.record();
    const store = new ServerStore(connection, nodes, { database, engineVersion, spoolDir });
    if (migrate) await migrateServer(store, nodes, { address, anew: wish !== undefined, create });
    return store;
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/**
 * Removes a database that was made for one run.
 * @throws InfrasageError (exit 3)
 */
export async function dropDatabase(address: ServerAddress, database: string): Promise<void> {
  const connection = new Connection(address, NO_RETRIES, () => {});
  try {
    await connection.run({ sql: `DROP DATABASE IF EXISTS \`${database}\` SYNC` });
  } finally {
    await connection.close();
  }
}
