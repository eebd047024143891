import { z } from 'zod';

/** How the tables of a database are spread over several servers. */
export const cluster = z.object({
  /** Its name in the servers' configuration. */
  name: z.string(),
  /** HTTP address of every node; none where the servers pass on what is done ON CLUSTER. */
  nodes: z.array(z.string()),
  /** Whether its tables are kept alike on several nodes by ClickHouse Keeper. */
  replicated: z.coerce.boolean(),
});
export type Cluster = z.infer<typeof cluster>;

/** A statement, and whether it is for every node or for the one that is asked. */
export interface Placed {
  sql: string;
  everywhere: boolean;
}

/** Tables that store nothing: each node has its own, through which what it is sent goes. */
const PASSED_THROUGH = ['infrasage_landing', 'infrasage_parsed', 'infrasage_accepted'];

/** Tables whose rows are on the node of their tenant; those of all others are on the first. */
const BY_TENANT = ['infrasage_raw_firehose', 'infrasage_usage_metering', 'infrasage_dlq'];

/** The view that meters: on each node, from the rows that it stores, whoever has written them. */
const METER_VIEW = 'infrasage_meter_view';

const STATEMENT =
  /^(CREATE DATABASE IF NOT EXISTS|CREATE TABLE IF NOT EXISTS|CREATE MATERIALIZED VIEW IF NOT EXISTS|ALTER TABLE|DROP VIEW IF EXISTS|DROP TABLE IF EXISTS) \{\{db\}\}(?:\.(\w+))?/;

/**
 * What a statement written for one server is on a cluster. Rows are in tables named …_local, and under the
 * documented names there are Distributed tables over them; the views in between are on every node.
 */
export function placed(sql: string, database: string, on: Cluster): Placed[] {
  if (sql.startsWith('KILL QUERY ')) {
    const kill = onCluster(sql, 'KILL QUERY', on);
    // Twice: a node may have been asked for its part after it was looked at and before the asking one was.
    return [kill, kill];
  }
  const [head, verb, table] = STATEMENT.exec(sql) ?? [];
  if (head === undefined) return [{ sql, everywhere: false }];
  if (table === undefined || PASSED_THROUGH.includes(table)) return [onCluster(sql, head, on)];
  if (table === METER_VIEW) {
    const local = sql.replaceAll(/infrasage_(raw_firehose|usage_metering)\b/g, '$&_local');
    return [onCluster(local, head, on)];
  }
  if (table.endsWith('_view')) return [onCluster(sql, head, on)];
  if (verb?.startsWith('DROP ')) throw new Error(`how ${table} goes from a cluster is not known`);
  const stored = onCluster(sql.replace(head, `${head}_local`), `${head}_local`, on);
  if (verb === 'ALTER TABLE' && !sql.includes(' ADD COLUMN ')) return [stored];
  return [{ ...stored, sql: replicated(stored.sql, on) }, distributed(table, database, on)];
}

function distributed(table: string, database: string, on: Cluster): Placed {
  const key = BY_TENANT.includes(table) ? 'cityHash64(tenant_id)' : '0';
  const head = `CREATE OR REPLACE TABLE {{db}}.${table}`;
  return onCluster(
    `${head} AS {{db}}.${table}_local ENGINE = Distributed('${on.name}', '${database}', '${table}_local', ${key})`,
    head,
    on,
  );
}

function onCluster(sql: string, head: string, { name, nodes }: Cluster): Placed {
  if (nodes.length > 0) return { sql, everywhere: true };
  return { sql: sql.replace(head, `${head} ON CLUSTER '${name}'`), everywhere: false };
}

function replicated(sql: string, on: Cluster): string {
  if (!on.replicated) return sql;
  return sql.replace(/\bENGINE = (\w*MergeTree)(?:\((.*?)\))?/, (_, engine: string, own?: string) => {
    const place = `'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'`;
    return `ENGINE = Replicated${engine}(${place}${own ? `, ${own}` : ''})`;
  });
}
