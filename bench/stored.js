// node stored.js DIRECTORY: what an ingest has left in its data directory, read past the program, in the form of
// `tally`, and the bytes on disk of the firehose and all that infrasage keeps once parts are merged.

import { Session } from 'chdb';
import { digest } from './input.js';

const session = new Session(process.argv[2]);
/** @param {string} sql @returns {string[][]} */
const rows = (sql) => {
  const lines = session.query(sql, 'JSONCompactEachRow').split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line).map(String));
};
/** @param {string} sql */
const table = (sql) =>
  rows(sql)
    .map((row) => row.join('\t'))
    .sort();
/** @param {string} time */
const hour = (time) => `formatDateTime(toStartOfHour(${time}), '%Y-%m-%dT%H:00:00Z', 'UTC')`;
const stored = {
  firehose: table(`
    SELECT tenant_id, ${hour('timestamp')} AS at, event_type, count(), sum(bytes_received)
    FROM infrasage.infrasage_raw_firehose GROUP BY tenant_id, at, event_type`),
  metering: table(`
    SELECT tenant_id, ${hour('hour')} AS at, event_type, sum(event_count), sum(bytes_received)
    FROM infrasage.infrasage_usage_metering GROUP BY tenant_id, at, event_type`),
  services: table(`
    SELECT tenant_id, service_id, count(), sum(bytes_received)
    FROM infrasage.infrasage_raw_firehose GROUP BY tenant_id, service_id`),
  errors: table('SELECT error, count() FROM infrasage.infrasage_dlq GROUP BY error'),
  deadLetters: digest(rows('SELECT line, error, raw FROM infrasage.infrasage_dlq ORDER BY line')),
};
session.query('OPTIMIZE TABLE infrasage.infrasage_raw_firehose FINAL');
const [bytes] = rows(
  "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'infrasage' AND table = 'infrasage_raw_firehose'",
);
session.close();
process.stdout.write(JSON.stringify({ stored, bytes: Number(bytes?.[0]) }));
