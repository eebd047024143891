// Stores of the size that reports are measured on, made by the engine itself: no ingest, and so no ledger.

import { EVENT_TYPES } from './generate.js';

/** @typedef {import('../src/store/store.ts').Store} Store */

const TENANTS = 1_000;
const TYPES = `[${EVENT_TYPES.map((type) => `'${type}'`).join()}]`;
const TENANT = (/** @type {string} */ number) => `concat('tenant-', leftPad(toString(${number}), 4, '0'))`;
const BIG_BLOCKS = `max_partitions_per_insert_block = 0, min_insert_block_size_rows = 20000000,
  min_insert_block_size_bytes = 4000000000`;

/** @template T @param {string} dataDir @param {(store: Store) => Promise<T>} work */
async function withStore(dataDir, work) {
  const { openEmbedded } = await import('../dist/store/embedded.js');
  const store = await openEmbedded({ dataDir, database: 'infrasage', command: 'bench' });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/**
 * Metering rows of a thousand tenants, one for each hour and type, back from now.
 * @param {string} dataDir @param {number} most
 * @returns {Promise<number>} how many rows
 */
export function fillMetering(dataDir, most) {
  const hours = Math.floor(most / TENANTS / EVENT_TYPES.length);
  const rows = hours * TENANTS * EVENT_TYPES.length;
  return withStore(dataDir, async (store) => {
    await store.command(
      `INSERT INTO {{db}}.infrasage_usage_metering
        (tenant_id, hour, event_type, event_count, bytes_ingested, bytes_received, batch_id, ingested_at)
      SELECT ${TENANT(`intDiv(number, ${hours * EVENT_TYPES.length})`)},
        toStartOfHour(now()) - INTERVAL intDiv(number, ${EVENT_TYPES.length}) % ${hours} HOUR,
        ${TYPES}[number % ${EVENT_TYPES.length} + 1],
        cityHash64(number) % 1000000, cityHash64(number, 1) % 30000000, cityHash64(number, 2) % 240000000,
        '', now64(3)
      FROM numbers(${rows})
      SETTINGS ${BIG_BLOCKS}`,
    );
    await store.command('OPTIMIZE TABLE {{db}}.infrasage_usage_metering FINAL');
    return rows;
  });
}

/**
 * Events of the last week, of a hundred tenants with twenty services each. They are metered too, by the schema's view.
 * @param {string} dataDir @param {number} events
 */
export function fillFirehose(dataDir, events) {
  return withStore(dataDir, async (store) => {
    for (let from = 0; from < events; from += 5_000_000) {
      const count = Math.min(5_000_000, events - from);
      await store.command(
        `INSERT INTO {{db}}.infrasage_raw_firehose
          (tenant_id, timestamp, event_type, service_id, metric_name, value, bytes_received, batch_id, ingested_at)
        SELECT ${TENANT('n % 100')}, now64(3) - INTERVAL intDiv(n * 604800, ${events}) SECOND,
          ${TYPES}[cityHash64(n) % ${EVENT_TYPES.length} + 1], concat('service-', toString(cityHash64(n, 1) % 20)),
          'latency_ms', cityHash64(n, 2) % 1000 / 8, 240, '', now64(3)
        FROM (SELECT ${from} + number AS n FROM numbers(${count}))
        SETTINGS max_partitions_per_insert_block = 0`,
      );
    }
  });
}
