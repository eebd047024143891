import { z } from 'zod';
import type { Store } from './store.ts';

/** Parts of a month from which on they are merged although a command ingests. */
const MANY_PARTS = 300;
/** Batches from one look at how many there are to the next. */
const LOOK_EVERY = 25;

const TABLE = 'infrasage_raw_firehose';
const state = z.object({ parts: z.coerce.number(), has_term: z.coerce.boolean() });

/**
 * Merges of the raw events in a process that ends soon. They take half as much CPU time as the ingest of the events, and
 * one that the process does not see the end of is lost, and begun anew by the next. So they wait for a process that
 * stays (serve, ingest --follow), unless there are many parts, or the events have a term: what is past it goes with merges.
 */
export class HeldMerges {
  readonly #store: Pick<Store, 'command' | 'query' | 'database'>;
  #held = true;
  #batches = 0;

  private constructor(store: Pick<Store, 'command' | 'query' | 'database'>) {
    this.#store = store;
  }

  static async of(store: Pick<Store, 'command' | 'query' | 'database'>): Promise<HeldMerges> {
    await store.command(`SYSTEM STOP MERGES {{db}}.${TABLE}`);
    return new HeldMerges(store);
  }

  /** To be told of each batch before it is written. */
  async beforeBatch(): Promise<void> {
    if (!this.#held || this.#batches++ % LOOK_EVERY !== 0) return;
    const [now] = await this.#store.query(
      `SELECT
        (SELECT max(parts) FROM (SELECT count() AS parts FROM system.parts
          WHERE active AND database = {database:String} AND table = '${TABLE}' GROUP BY partition)) AS parts,
        (SELECT engine_full LIKE '% TTL %' FROM system.tables
          WHERE database = {database:String} AND name = '${TABLE}') AS has_term`,
      state,
      { database: this.#store.database },
    );
    if (now && (now.has_term || now.parts >= MANY_PARTS)) await this.release();
  }

  /** Lets them run: no row is changed while they wait. */
  async release(): Promise<void> {
    if (!this.#held) return;
    this.#held = false;
    await this.#store.command(`SYSTEM START MERGES {{db}}.${TABLE}`);
  }
}
