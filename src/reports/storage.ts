import { existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import { type Reader, type Store, uint64 } from '../store/store.ts';

/** Asks the store for nothing but an answer. */
export async function answers(store: Store): Promise<void> {
  await store.query('SELECT 1 AS answer', z.object({ answer: z.literal(1) }));
}

/** What a table takes up. */
export interface TableSize {
  /** Its name, without the database. */
  table: string;
  rows: bigint;
  /** On disk, with indexes and marks. */
  bytes: bigint;
  /** Of its columns, as they are stored and as they were before. */
  compressed: bigint;
  uncompressed: bigint;
  parts: bigint;
}

const SIZE = z.object({
  table: z.string(),
  rows: uint64,
  bytes: uint64,
  compressed: uint64,
  uncompressed: uint64,
  parts: uint64,
});

const SIZES = `sum(p.rows) AS rows, sum(p.bytes_on_disk) AS bytes, sum(p.data_compressed_bytes) AS compressed,
  sum(p.data_uncompressed_bytes) AS uncompressed, count() AS parts`;

/** The size of every table of the database on the server that is asked, by name. */
export async function tableSizes(store: Reader): Promise<TableSize[]> {
  return store.query(
    `SELECT table, ${SIZES} FROM system.parts AS p
    WHERE database = {database:String} AND active
    GROUP BY table ORDER BY table`,
    SIZE,
    { database: store.database },
  );
}

/** A disk. */
export interface Disk {
  name: string;
  free: bigint;
  total: bigint;
}

/** A server that has a part of the rows: its tables under their documented names, and its disks. */
export interface Shard {
  tables: TableSize[];
  /** null where the disk is not the engine's to ask: that of a data directory. */
  disks: Disk[] | null;
}

/**
 * Where the rows of the database are: one server, or each shard of its cluster, of one of its replicas.
 * @throws InfrasageError (exit 3) where the user may not read it
 */
export async function shards(reader: Reader, { server }: { server: boolean }): Promise<Shard[]> {
  if (!server) return [{ tables: await tableSizes(reader), disks: null }];
  const cluster = await clusterName(reader);
  const of = (table: string) => (cluster === undefined ? table : `cluster({cluster:String}, ${table})`);
  const number = cluster === undefined ? '1' : '_shard_num';
  const params = { database: reader.database, cluster: cluster ?? '' };
  try {
    const sizes = await reader.query(
      `SELECT ${number} AS shard, replaceRegexpOne(table, '_local$', '') AS table, ${SIZES} FROM ${of('system.parts')} AS p
      WHERE database = {database:String} AND active GROUP BY shard, table ORDER BY shard, table`,
      SIZE.extend({ shard: z.coerce.number() }),
      params,
    );
    const disks = await reader.query(
      `SELECT ${number} AS shard, name, free_space AS free, total_space AS total FROM ${of('system.disks')}
      WHERE total_space > 0 ORDER BY shard, name`,
      z.object({ shard: z.coerce.number(), name: z.string(), free: uint64, total: uint64 }),
      params,
    );
    const numbers = [...new Set([...disks, ...sizes].map(({ shard }) => shard))];
    return numbers.map((one) => ({
      tables: sizes.filter(({ shard }) => shard === one).map(({ shard: _, ...size }) => size),
      disks: disks
        .filter(({ shard }) => shard === one)
        .map(({ shard, name, free, total }) => ({
          name: cluster === undefined ? name : `${name} of shard ${shard}`,
          free,
          total,
        })),
    }));
  } catch (error) {
    const [, privileges] = /Not enough privileges.*?the grant (.*?)(?:\. \(|$)/s.exec(saidBy(error)) ?? [];
    if (privileges === undefined) throw error;
    throw new InfrasageError(
      `sizes cannot be read: the user lacks ${privileges.replace(/\(.*?\)/g, '').trim()}`,
      {
        hint: `an administrator of the server can give it: infrasage init --print-grants${cluster === undefined ? '' : ` --cluster ${cluster}`}`,
        cause: error,
      },
    );
  }
}

/** The disks of the server that is asked. */
export async function serverDisks(reader: Reader): Promise<Disk[]> {
  return reader.query(
    'SELECT name, free_space AS free, total_space AS total FROM system.disks WHERE total_space > 0',
    z.object({ name: z.string(), free: uint64, total: uint64 }),
  );
}

/** The cluster that the database is on; undefined where it is on one server. */
async function clusterName(reader: Reader): Promise<string | undefined> {
  const [there] = await reader.query(
    `SELECT count() AS n FROM system.tables WHERE database = {database:String} AND name = 'infrasage_cluster'`,
    z.object({ n: z.coerce.number() }),
    { database: reader.database },
  );
  if (there?.n !== 1) return undefined;
  const [row] = await reader.query(
    'SELECT name FROM {{db}}.infrasage_cluster',
    z.object({ name: z.string() }),
  );
  return row?.name;
}

function saidBy(error: unknown): string {
  return error instanceof Error ? error.message : '';
}

/** The disk of a directory, or of where it would be made. */
export function localDisk(path: string): Disk {
  let there = path;
  while (!existsSync(there) && dirname(there) !== there) there = dirname(there);
  const { bavail, blocks, bsize } = statfsSync(there, { bigint: true });
  return { name: path, free: bavail * bsize, total: blocks * bsize };
}
