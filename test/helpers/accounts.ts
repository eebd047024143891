import type { Ask } from './engine.ts';

/** A dead letter as stored. */
export interface StoredLetter {
  line: number;
  error: string;
  raw: Buffer;
  source: string;
  tenant_id: string;
  message: string;
}

/** The dead letters by source and line. */
export async function deadLetters(sql: Ask): Promise<StoredLetter[]> {
  const letters = await sql<Omit<StoredLetter, 'raw'> & { base64: string }>(
    `SELECT line, error, base64Encode(raw) AS base64, source, tenant_id, message
    FROM {{db}}.infrasage_dlq ORDER BY source, line`,
  );
  return letters.map(({ base64, ...letter }) => ({ ...letter, raw: Buffer.from(base64, 'base64') }));
}

/** The service ids of the accepted events, sorted: enough to tell hand-made events apart. */
export async function storedServices(sql: Ask): Promise<string[]> {
  const rows = await sql<{ id: string }>('SELECT service_id AS id FROM {{db}}.infrasage_raw_firehose');
  return rows.map(({ id }) => id).sort();
}

/** The same by source. */
export async function servicesBySource(sql: Ask): Promise<Record<string, string[]>> {
  const batches = 'SELECT batch_id, source FROM {{db}}.infrasage_ingest_batches FINAL';
  const rows = await sql<{ source: string; ids: string[] }>(
    `SELECT l.source AS source, arraySort(groupArray(f.service_id)) AS ids
    FROM {{db}}.infrasage_raw_firehose AS f INNER JOIN (${batches}) AS l ON l.batch_id = f.batch_id
    GROUP BY source`,
  );
  return Object.fromEntries(rows.map(({ source, ids }) => [source, ids]));
}

/** Everything the ledger, the firehose, the metering and the dead letters say about how many lines there are. */
export interface Accounts {
  batches: number;
  committed: number;
  lines: number;
  accepted: number;
  rejected: number;
  firehose: number;
  metered: number;
  letters: number;
  bytesReceived: number;
  bytesIngested: number;
  meteredReceived: number;
  meteredIngested: number;
}

export async function accounts(sql: Ask): Promise<Accounts> {
  const [found] = await sql<Accounts>(`SELECT * FROM
    (SELECT count() AS batches, countIf(state = 'committed') AS committed, sum(lines) AS lines,
      sum(accepted) AS accepted, sum(rejected) AS rejected FROM {{db}}.infrasage_ingest_batches FINAL) AS l,
    (SELECT count() AS firehose, sum(bytes_received) AS bytesReceived, sum(bytes_ingested) AS bytesIngested
      FROM {{db}}.infrasage_raw_firehose) AS f,
    (SELECT sum(event_count) AS metered, sum(bytes_received) AS meteredReceived, sum(bytes_ingested) AS meteredIngested
      FROM {{db}}.infrasage_usage_metering) AS m,
    (SELECT count() AS letters FROM {{db}}.infrasage_dlq) AS d`);
  if (!found) throw new Error('no accounts');
  return found;
}
