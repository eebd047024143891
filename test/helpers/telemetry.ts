import { z } from 'zod';
import { recover } from '../../src/ingest/recover.ts';
import { Telemetry } from '../../src/intake/telemetry.ts';
import type { Sender, Upload } from '../../src/intake/upload.ts';
import { type LineOptions, PLAIN_LINES, type Store } from '../../src/store/store.ts';
import { sandbox } from './cli.ts';

export const ACME: Sender = { id: 'tenant acme-corp', tenant: 'acme-corp' };
export const GLOBEX: Sender = { id: 'tenant globex', tenant: 'globex' };
export const ANYONE: Sender = { id: 'system', tenant: null };

/** Telemetry on data of its own. */
export interface Desk {
  readonly store: Store;
  readonly telemetry: Telemetry;
  /** Opens telemetry anew on the same store, as after a restart: what was in memory is gone. */
  restart(wrapped?: Store): Promise<Telemetry>;
  /** One number. */
  number(sql: string): Promise<number>;
  /** Empties the tables, and forgets what is in memory. */
  clear(): Promise<void>;
  remove(): Promise<void>;
}

const TABLES = [
  'infrasage_raw_firehose',
  'infrasage_usage_metering',
  'infrasage_dlq',
  'infrasage_ingest_batches',
  'infrasage_idempotency_keys',
];

export async function desk(options: Partial<LineOptions> = {}): Promise<Desk> {
  const box = sandbox({ initialised: true });
  const store = await box.openStore();
  let serial = 0;
  const make = (on: Store) =>
    new Telemetry(
      { ...PLAIN_LINES, ...options },
      { store: on, now: () => new Date(), id: () => `${box.folder} ${++serial}` },
    );
  let telemetry = make(store);
  return {
    store,
    get telemetry() {
      return telemetry;
    },
    async restart(wrapped = store) {
      await telemetry.close();
      await recover(store, { now: () => new Date() });
      telemetry = make(wrapped);
      return telemetry;
    },
    async number(sql) {
      const [row] = await store.query(sql, z.object({ n: z.coerce.number() }));
      if (!row) throw new Error('no row');
      return row.n;
    },
    async clear() {
      await telemetry.close();
      for (const table of TABLES) await store.command(`TRUNCATE TABLE {{db}}.${table}`);
      telemetry = make(store);
    },
    async remove() {
      await telemetry.close();
      await store.close();
      await box.remove();
    },
  };
}

/** An upload of these bytes, in pieces of so many. */
export function upload(
  body: string | Uint8Array,
  more: Partial<Omit<Upload, 'body'>> & { piece?: number; fails?: Error } = {},
): Upload {
  const { piece = 64 * 1024, fails, ...headers } = more;
  const bytes = Buffer.from(body);
  return {
    sender: ACME,
    ...headers,
    body: (async function* () {
      for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
      if (fails) throw fails;
    })(),
  };
}
