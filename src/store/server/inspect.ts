import { z } from 'zod';
import type { ServerAddress } from '../../config.ts';
import { isUpToDate } from '../migrate.ts';
import { NO_RETRIES, type Params, type Reader } from '../store.ts';
import { parseRows } from '../text-rows.ts';
import { Connection } from './connection.ts';
import { CODE, codeOf } from './failure.ts';
import { missingGrants } from './grants.ts';
import { clusterOf } from './nodes.ts';
import { engineOf } from './prepare.ts';

/** What a server, or a node of a cluster, says of itself. */
export interface NodeState {
  /** Its address, or the name it has itself. */
  node: string;
  version: string;
  /** Its clock; null where it was asked through another node, which puts its own in. */
  now: Date | null;
  /** The tables that the database has there. */
  tables: string[];
  /** The statements that would give the user what it lacks there; of nodes that are asked themselves. */
  missingGrants: string[];
}

/** What is there on a server, looked at and not touched: nothing is made, migrated or locked. */
export interface ServerInspection extends Reader {
  readonly engineVersion: string;
  /** Its clock, and half of the time that asking took, ms. */
  clock(): Promise<{ now: Date; accuracyMs: number }>;
  /** Whether the database has this program's schema; undefined where there is none. */
  schema(): Promise<'current' | 'outdated' | undefined>;
  /** The statements that would give its user what it lacks, to write or to make the schema too. */
  missingGrants(purpose: 'write' | 'prepare'): Promise<string[]>;
  locks(): Promise<{ name: string; owner: string; expired: boolean }[]>;
  /** The nodes of the cluster that it is on; undefined where it is on none. */
  nodes(): Promise<{ cluster: string; nodes: (NodeState | { node: string; fault: Error })[] } | undefined>;
  close(): Promise<void>;
}

const millis = z.coerce.number().transform((ms) => new Date(ms));

/**
 * Connects to a server to look at it. Nothing is tried twice.
 * @param silenceMs a server that says nothing for so long is taken for away
 * @throws InfrasageError (exit 3) where it cannot be reached, refuses the user, or is too old
 */
export async function inspectServer(
  address: ServerAddress,
  { database, silenceMs }: { database: string; silenceMs: number },
): Promise<ServerInspection> {
  const connection = new Connection(address, NO_RETRIES, () => {}, silenceMs);
  try {
    const { engineVersion } = await engineOf(connection, database);
    return new Inspection(connection, { database, engineVersion });
  } catch (error) {
    await connection.close();
    throw error;
  }
}

class Inspection implements ServerInspection {
  readonly database: string;
  readonly engineVersion: string;
  readonly #connection: Connection;

  constructor(
    connection: Connection,
    { database, engineVersion }: { database: string; engineVersion: string },
  ) {
    this.#connection = connection;
    this.database = database;
    this.engineVersion = engineVersion;
  }

  async query<T>(sql: string, row: z.ZodType<T>, params: Params = {}): Promise<T[]> {
    const named = sql.replaceAll('{{db}}', `\`${this.database}\``);
    return z.array(row).parse(parseRows(await this.#connection.run({ sql: named, params })));
  }

  async clock(): Promise<{ now: Date; accuracyMs: number }> {
    const start = performance.now();
    const [row] = await this.query(NOW, z.object({ now: millis }));
    return { now: row?.now ?? new Date(0), accuracyMs: (performance.now() - start) / 2 };
  }

  async schema(): Promise<'current' | 'outdated' | undefined> {
    try {
      return (await isUpToDate(this)) ? 'current' : 'outdated';
    } catch (error) {
      const code = codeOf(error);
      if (code === CODE.unknownDatabase || code === CODE.unknownTable) return undefined;
      throw error;
    }
  }

  missingGrants(purpose: 'write' | 'prepare'): Promise<string[]> {
    return missingGrants(this.#connection, this.database, purpose);
  }

  locks(): Promise<{ name: string; owner: string; expired: boolean }[]> {
    return this.query(
      `SELECT l.name AS name, s.owner AS owner,
        s.until < now64(3) OR l.session IN (SELECT id FROM {{db}}.infrasage_fences) AS expired
      FROM (SELECT name, session FROM {{db}}.infrasage_locks FINAL WHERE state != 'released') AS l
      LEFT JOIN (SELECT session, owner, until FROM {{db}}.infrasage_sessions FINAL) AS s ON s.session = l.session
      ORDER BY name, owner`,
      z.object({ name: z.string(), owner: z.string(), expired: z.coerce.boolean() }),
    );
  }

  async nodes(): ReturnType<ServerInspection['nodes']> {
    const cluster = await this.#cluster();
    if (!cluster) return undefined;
    const { name, nodes } = cluster;
    if (nodes.length === 0) {
      const rows = await this.query(
        `SELECT hostName() AS node, any(version()) AS version, groupArrayIf(name, database = {database:String}) AS tables
        FROM clusterAllReplicas({cluster:String}, system.tables) GROUP BY node ORDER BY node`,
        z.object({ node: z.string(), version: z.string(), tables: z.array(z.string()) }),
        { cluster: name, database: this.database },
      );
      return { cluster: name, nodes: rows.map((row) => ({ ...row, now: null, missingGrants: [] })) };
    }
    return { cluster: name, nodes: await Promise.all(nodes.map((node) => this.#node(node))) };
  }

  async #cluster() {
    try {
      return await clusterOf(this.#connection, this.database);
    } catch (error) {
      const code = codeOf(error);
      if (code === CODE.unknownDatabase || code === CODE.unknownTable) return undefined;
      throw error;
    }
  }

  async #node(node: string): Promise<NodeState | { node: string; fault: Error }> {
    const connection = this.#connection.to(new URL(node));
    try {
      const answer = await connection.run({
        sql: `${NOW}, version() AS version,
          (SELECT groupArray(name) FROM system.tables WHERE database = {database:String}) AS tables`,
        params: { database: this.database },
      });
      const [row] = z.tuple([nodeRow]).parse(parseRows(answer));
      return { node, ...row, missingGrants: await missingGrants(connection, this.database, 'write') };
    } catch (error) {
      return { node, fault: error instanceof Error ? error : new Error(String(error)) };
    } finally {
      await connection.close();
    }
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

const nodeRow = z.object({ version: z.string(), now: millis, tables: z.array(z.string()) });

const NOW = 'SELECT toUnixTimestamp64Milli(now64(3)) AS now';
