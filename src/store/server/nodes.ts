import { z } from 'zod';
import { InfrasageError, usageError } from '../../errors.ts';
import { quoted } from '../literal.ts';
import type { Params } from '../store.ts';
import { parseRows } from '../text-rows.ts';
import { type Cluster, cluster, placed } from './cluster.ts';
import type { Connection } from './connection.ts';
import { assertGranted } from './grants.ts';

/** A cluster as it is asked for: nodes are HTTP addresses, none where the servers pass on what is done ON CLUSTER. */
export type ClusterWish = Pick<Cluster, 'name' | 'nodes'>;

/** The servers that have a database: the one that is asked, and where it is on a cluster, all of it. */
export class Nodes {
  readonly cluster: Cluster | undefined;
  readonly #asked: Connection;
  readonly #database: string;
  #all: Connection[] | undefined;

  constructor(asked: Connection, database: string, on: Cluster | undefined) {
    this.#asked = asked;
    this.#database = database;
    this.cluster = on;
  }

  /** Runs a statement without a result, on every node where it is about how rows are stored. */
  async command(sql: string, params: Params = {}): Promise<void> {
    const all = this.cluster ? placed(sql, this.#database, this.cluster) : [{ sql, everywhere: false }];
    for (const one of all) {
      const statement = { sql: this.named(one.sql), params };
      for (const node of one.everywhere ? this.#nodes() : [this.#asked]) await node.run(statement);
    }
  }

  /**
   * Sees to it that no node is left with half a schema for want of a grant.
   * @throws InfrasageError (exit 3) that names each grant that is missing
   */
  async assertGranted(): Promise<void> {
    for (const node of this.#nodes()) await assertGranted(node, this.#database, 'prepare', this.cluster);
  }

  /** Leaves on every node what they are a cluster of, before there is anything else: who finds it knows. */
  async record(): Promise<void> {
    if (!this.cluster) return;
    await this.assertGranted();
    const { name, nodes, replicated } = this.cluster;
    const where = nodes.length > 0 ? '' : ` ON CLUSTER '${name}'`;
    const statements = [
      `CREATE DATABASE IF NOT EXISTS {{db}}${where}`,
      // A view, not a table: it is on each node as soon as it is made, and needs no insert there.
      `CREATE OR REPLACE VIEW {{db}}.infrasage_cluster${where} AS
        SELECT '${name}' AS name, CAST([${nodes.map(quoted).join()}], 'Array(String)') AS nodes, ${replicated ? 1 : 0} AS replicated`,
    ];
    for (const sql of statements) {
      for (const node of this.#nodes()) await node.run({ sql: this.named(sql) });
    }
  }

  named(sql: string): string {
    return sql.replaceAll('{{db}}', `\`${this.#database}\``);
  }

  async close(): Promise<void> {
    await Promise.all(this.#nodes().map((node) => node.close()));
  }

  /** The one that is asked goes first. */
  #nodes(): Connection[] {
    const { address, to } = this.#asked;
    const others = (this.cluster?.nodes ?? [])
      .map((node) => new URL(node))
      .filter((url) => url.href !== address.url.href);
    this.#all ??= [this.#asked, ...others.map((url) => to(url))];
    return this.#all;
  }
}

/** The cluster that a database was made on; undefined where it is on one server. */
export async function clusterOf(connection: Connection, database: string): Promise<Cluster | undefined> {
  const [row] = z.array(cluster).parse(
    parseRows(
      await connection.run({
        sql: `SELECT name, nodes, replicated FROM \`${database}\`.infrasage_cluster`,
      }),
    ),
  );
  return row;
}

/**
 * A cluster that a database is to be made on.
 * @throws InfrasageError (exit 2) where its nodes are not those that are named; (exit 3) where the servers know no such
 * cluster, or a grant is missing
 */
export async function planCluster(
  connection: Connection,
  database: string,
  wish: ClusterWish,
): Promise<Cluster> {
  await assertGranted(connection, database, 'prepare', { ...wish, replicated: false });
  const rows = parseRows(
    await connection.run({
      sql: `SELECT (SELECT count() FROM system.clusters WHERE cluster = {name:String}) AS replicas,
        (SELECT count() > 0 FROM system.tables WHERE database = 'system' AND name = 'zookeeper') AS keeper`,
      params: { name: wish.name },
    }),
  );
  const [found] = z.array(z.object({ replicas: z.coerce.number(), keeper: z.coerce.boolean() })).parse(rows);
  const { replicas = 0, keeper = false } = found ?? {};
  const { origin, href } = connection.address.url;
  if (replicas === 0) {
    throw new InfrasageError(`the ClickHouse server at ${origin} knows no cluster ${wish.name}`, {
      hint: 'name one of <remote_servers> in its configuration: SELECT DISTINCT cluster FROM system.clusters',
    });
  }
  const named = wish.nodes.map((node) => new URL(node).href);
  const nodes = named.length === 0 ? [] : [...new Set([href, ...named])];
  if (nodes.length === 0 && !keeper) {
    throw usageError(
      `the cluster ${wish.name} has no ClickHouse Keeper, so its nodes must be named`,
      'give the HTTP address of each with --node',
    );
  }
  if (nodes.length > 0 && nodes.length !== replicas) {
    throw usageError(
      `the cluster ${wish.name} has ${replicas} nodes, and ${nodes.length} are named`,
      'give the HTTP address of each, spelled as --clickhouse has it, with --node',
    );
  }
  return { name: wish.name, nodes, replicated: keeper };
}
