import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { type Store, uint64 } from './store.ts';

/** Parts of a month from which on they are merged although a command ingests, where they are there before it does. */
const MANY_FOUND = 100;
/**
 * Parts of all months from which on they are merged while it does: from 1,000 of a month on the engine slows inserts
 * down. Merges beside an ingest take their memory on top of its own.
 */
const MANY = 800;
/** Batches from one look at how many there are to the next. */
const LOOK_EVERY = 25;
/** A merge that is done within so long is waited for at the end, seconds. */
const PATIENCE_S = 20;
const POLL_MS = 50;

const TABLE = 'infrasage_raw_firehose';
const partsRow = z.object({ most: uint64, total: uint64, has_term: z.coerce.boolean() });
const mergeRow = z.object({ left_s: z.coerce.number() });

type MergedStore = Pick<Store, 'command' | 'query' | 'database'>;

/**
 * Merges of the raw events in a process that ends soon. They take half as much CPU time as the ingest of the events, and
 * one that the process does not see the end of is lost, and begun anew by the next. So they wait for a process that
 * stays (serve, ingest --follow), unless there are many parts, or the events have a term: what is past it goes with merges.
 *
 * Where they do not wait, those are waited for that are soon done: else one short ingest after the other would begin
 * the same, and parts would become more until the engine takes no more of them.
 */
export class HeldMerges {
  readonly #store: MergedStore;
  #held = true;
  #batches = 0;
  readonly #many: number;

  private constructor(store: MergedStore, many: number) {
    this.#store = store;
    this.#many = many;
  }

  /** @param options.many parts from which on they are not held any more */
  static async of(store: MergedStore, { many = MANY } = {}): Promise<HeldMerges> {
    await store.command(`SYSTEM STOP MERGES {{db}}.${TABLE}`);
    return new HeldMerges(store, many);
  }

  /** To be told of each batch before it is written. */
  async beforeBatch(): Promise<void> {
    const isFirst = this.#batches === 0;
    if (!this.#held || this.#batches++ % LOOK_EVERY !== 0) return;
    const [parts] = await this.#store.query(
      `SELECT max(parts) AS most, sum(parts) AS total,
        (SELECT engine_full LIKE '% TTL %' FROM system.tables
          WHERE database = {database:String} AND name = '${TABLE}') AS has_term
      FROM
      (
        SELECT count() AS parts FROM system.parts
        WHERE active AND database = {database:String} AND table = '${TABLE}'
        GROUP BY partition
      )`,
      partsRow,
      { database: this.#store.database },
    );
    if (!parts) return;
    if (parts.has_term || parts.total >= this.#many || (isFirst && parts.most >= MANY_FOUND))
      await this.release();
  }

  /** Lets them run: no row is changed while they wait. */
  async release(): Promise<void> {
    if (!this.#held) return;
    this.#held = false;
    await this.#store.command(`SYSTEM START MERGES {{db}}.${TABLE}`);
  }

  /** Waits for merges that are soon done, where batches were written while they ran. */
  async close(): Promise<void> {
    if (this.#held || this.#batches === 0) return;
    const start = performance.now();
    for (;;) {
      const running = await this.#store.query(
        `SELECT elapsed * (1 - progress) / greatest(progress, 0.001) AS left_s FROM system.merges
        WHERE database = {database:String} AND table = '${TABLE}'`,
        mergeRow,
        { database: this.#store.database },
      );
      const patience = PATIENCE_S - (performance.now() - start) / 1000;
      if (!running.some(({ left_s }) => left_s < patience)) return;
      await wait(POLL_MS);
    }
  }
}
