import { z } from 'zod';
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
  /** On disk, compressed. */
  bytes: bigint;
  parts: bigint;
}

/** The size of every table of the database, by name. */
export async function tableSizes(store: Reader): Promise<TableSize[]> {
  return store.query(
    `SELECT table, sum(p.rows) AS rows, sum(p.bytes_on_disk) AS bytes, count() AS parts
    FROM system.parts AS p
    WHERE database = {database:String} AND active
    GROUP BY table ORDER BY table`,
    z.object({ table: z.string(), rows: uint64, bytes: uint64, parts: uint64 }),
    { database: store.database },
  );
}
