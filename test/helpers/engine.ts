import { Session } from 'chdb';

/** Runs one statement; its rows, 64-bit integers as JavaScript numbers. */
export type Sql = <Row extends object>(statement: string) => Row[];

/** Opens a plain engine session on a data directory, with nothing of infrasage in between. No command may run meanwhile. */
export async function withEngine<T>(dataDir: string, use: (sql: Sql) => T | Promise<T>): Promise<T> {
  const session = new Session(dataDir);
  try {
    return await use(<Row extends object>(statement: string) =>
      session
        .query(statement, 'JSONEachRow')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Row),
    );
  } finally {
    session.close();
  }
}

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
export function deadLetters(sql: Sql): StoredLetter[] {
  return sql<Omit<StoredLetter, 'raw'> & { base64: string }>(
    `SELECT line, error, base64Encode(raw) AS base64, source, tenant_id, message
    FROM infrasage.infrasage_dlq ORDER BY source, line`,
  ).map(({ base64, ...letter }) => ({ ...letter, raw: Buffer.from(base64, 'base64') }));
}

/** The service ids of the accepted events, sorted: enough to tell hand-made events apart. */
export function storedServices(sql: Sql, source?: string): string[] {
  const batches = 'SELECT batch_id, source FROM infrasage.infrasage_ingest_batches FINAL';
  return sql<{ service_id: string; source: string }>(
    `SELECT f.service_id AS service_id, l.source AS source
    FROM infrasage.infrasage_raw_firehose AS f LEFT JOIN (${batches}) AS l ON l.batch_id = f.batch_id`,
  )
    .filter((row) => source === undefined || row.source === source)
    .map((row) => row.service_id)
    .sort();
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

export function accounts(sql: Sql): Accounts {
  const [found] = sql<Accounts>(`SELECT * FROM
    (SELECT count() AS batches, countIf(state = 'committed') AS committed, sum(lines) AS lines,
      sum(accepted) AS accepted, sum(rejected) AS rejected FROM infrasage.infrasage_ingest_batches FINAL) AS l,
    (SELECT count() AS firehose, sum(bytes_received) AS bytesReceived, sum(bytes_ingested) AS bytesIngested
      FROM infrasage.infrasage_raw_firehose) AS f,
    (SELECT sum(event_count) AS metered, sum(bytes_received) AS meteredReceived, sum(bytes_ingested) AS meteredIngested
      FROM infrasage.infrasage_usage_metering) AS m,
    (SELECT count() AS letters FROM infrasage.infrasage_dlq) AS d`);
  if (!found) throw new Error('no accounts');
  return found;
}
