import type { Ask } from './engine.ts';

/** Where a command, or a store that is open, holds the merges of raw events, no change of rows would ever be done. */
const startMerges = (sql: Ask) => sql('SYSTEM START MERGES {{db}}.infrasage_raw_firehose');

/** Makes the events that are stored as if they had been ingested this many days before. */
export async function age(sql: Ask, days: number): Promise<void> {
  await startMerges(sql);
  const change = async (table: string, ...columns: string[]) => {
    const older = columns.map((column) => `${column} = ${column} - INTERVAL ${days} DAY`).join(', ');
    await sql(`ALTER TABLE {{db}}.${table} UPDATE ${older} WHERE 1 SETTINGS mutations_sync = 2`);
  };
  await change('infrasage_raw_firehose', 'ingested_at');
  await change('infrasage_usage_metering', 'ingested_at', 'ingested_from');
  await change('infrasage_ingest_batches', 'received_at');
}

/**
 * Makes the events that came in the last hours as if they had been ingested at a time that is longer ago. A server does
 * not take them by a clock that says so.
 */
export async function backdate(sql: Ask, at: Date): Promise<void> {
  await startMerges(sql);
  const time = `toDateTime64('${at.toISOString().replace('T', ' ').replace('Z', '')}', 3, 'UTC')`;
  const change = async (table: string, ...columns: string[]) => {
    const [first] = columns;
    const past = columns.map((column) => `${column} = ${time}`).join(', ');
    await sql(`ALTER TABLE {{db}}.${table} UPDATE ${past} WHERE ${first} > now64(3) - INTERVAL 12 HOUR
      SETTINGS mutations_sync = 2`);
  };
  await change('infrasage_raw_firehose', 'ingested_at');
  await change('infrasage_usage_metering', 'ingested_at', 'ingested_from');
  await change('infrasage_ingest_batches', 'received_at');
}

/** Has the engine do now what it does as it merges: remove what is past its term, roll up what is old. */
export async function merge(sql: Ask): Promise<void> {
  for (const table of ['raw_firehose', 'usage_metering', 'dlq'])
    await sql(`OPTIMIZE TABLE {{db}}.infrasage_${table} FINAL`);
}
