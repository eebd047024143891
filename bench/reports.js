// npm run bench:reports: how long start-up and reports take, as whole processes, in turn in one run, against bare Node
// and against a process that opens the engine and runs the one query that answers the same question.
//
//   --rows N     metering rows of 1,000 tenants (52560000: a year)
//   --events N   events in the firehose (10000000)
//   --rounds N   rounds (5)
//   --json       print the result as JSON

import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { decimals, seconds, shown, spread, tableText, whole } from './figures.js';
import { fillFirehose, fillMetering } from './fill.js';
import { machine, machineText } from './machine.js';
import { measure } from './process.js';

const PROGRAM = fileURLToPath(new URL('../bin/infrasage.js', import.meta.url));
const ONE_QUERY = fileURLToPath(new URL('./contenders/one-query.js', import.meta.url));
const METERING = 'infrasage.infrasage_usage_metering';
const FIREHOSE = 'infrasage.infrasage_raw_firehose';

/** A report, and the query that one would write for it; none for what is compared with Node alone. */
const REPORTS = [
  { title: '--help', args: ['--help'] },
  {
    title: 'usage --since 24h',
    args: ['usage', '--since', '24h'],
    // Of all tenants, it has a row a tenant and type.
    sql: `SELECT tenant_id, event_type, sum(event_count) AS events, sum(bytes_ingested) FROM ${METERING}
      WHERE hour > now() - INTERVAL 24 HOUR GROUP BY tenant_id, event_type ORDER BY events DESC`,
  },
  {
    title: 'usage --since 24h, one tenant',
    args: ['usage', '--since', '24h', '--tenant', 'tenant-0007'],
    sql: `SELECT event_type, sum(event_count) AS events, sum(bytes_ingested) FROM ${METERING}
      WHERE tenant_id = 'tenant-0007' AND hour > now() - INTERVAL 24 HOUR GROUP BY event_type ORDER BY events DESC`,
  },
  {
    title: 'billing --month, one tenant',
    args: ['billing', '--month', '--tenant', 'tenant-0007'],
    sql: `SELECT event_type, sum(event_count) AS events, sum(bytes_ingested) FROM ${METERING}
      WHERE tenant_id = 'tenant-0007' AND hour >= toStartOfMonth(now()) GROUP BY event_type ORDER BY events DESC`,
  },
  {
    title: 'services --since 7d, one tenant',
    args: ['services', '--since', '7d', '--tenant', 'tenant-0007'],
    sql: `SELECT service_id, count() AS events FROM ${FIREHOSE}
      WHERE tenant_id = 'tenant-0007' AND timestamp > now() - INTERVAL 7 DAY GROUP BY service_id ORDER BY events DESC LIMIT 20`,
  },
  {
    title: 'services --since 7d',
    args: ['services', '--since', '7d'],
    sql: `SELECT service_id, count() AS events FROM ${FIREHOSE}
      WHERE timestamp > now() - INTERVAL 7 DAY GROUP BY service_id ORDER BY events DESC LIMIT 20`,
  },
];

/** @param {string} dataDir @param {number} rounds */
async function bench(dataDir, rounds) {
  const results = REPORTS.map(({ title }) => ({
    title,
    /** @type {number[]} */ report: [],
    /** @type {number[]} */ query: [],
    /** @type {number[]} */ wall: [],
    /** @type {number[]} */ cpu: [],
  }));
  for (let round = 0; round < rounds; round++) {
    for (const [i, { args, sql }] of REPORTS.entries()) {
      const report = await measure([process.execPath, PROGRAM, ...args, '--data-dir', dataDir]);
      const query = await measure(
        sql ? [process.execPath, ONE_QUERY, dataDir, sql] : [process.execPath, '-e', '0'],
      );
      const result = results[i];
      result?.report.push(report.wallMs);
      result?.query.push(query.wallMs);
      result?.wall.push(report.wallMs / query.wallMs);
      result?.cpu.push(report.cpuMs / query.cpuMs);
    }
  }
  return results.map(({ title, report, query, wall, cpu }) => ({
    title,
    report_ms: spread(report),
    query_ms: spread(query),
    wall_ratio: spread(wall),
    cpu_ratio: spread(cpu),
  }));
}

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '52560000' },
    events: { type: 'string', default: '10000000' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const directory = mkdtempSync(join(realpathSync(tmpdir()), 'infrasage-bench-'));
try {
  const on = await machine();
  const rows = await fillMetering(directory, Number(values.rows));
  await fillFirehose(directory, Number(values.events));
  const reports = await bench(directory, Number(values.rounds));
  const table = tableText([
    [`median (min–max) of ${values.rounds}`, 'wall s', 'against, wall s', 'ratio of wall', 'ratio of CPU'],
    ...reports.map((r) => [
      r.title,
      shown(r.report_ms, seconds),
      shown(r.query_ms, seconds),
      shown(r.wall_ratio, decimals(2)),
      shown(r.cpu_ratio, decimals(2)),
    ]),
  ]);
  process.stdout.write(
    values.json
      ? `${JSON.stringify({ machine: on, metering_rows: rows, events: Number(values.events), reports }, null, 2)}\n`
      : `${machineText(on)}
${whole(rows)} metering rows besides those of ${whole(Number(values.events))} events

${table}

--help is against \`node -e 0\`, reports against a process that opens the engine and runs one query.
`,
  );
} finally {
  rmSync(directory, { recursive: true, force: true });
}
