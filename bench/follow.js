// npm run bench:follow: how long after a line was written it is in reports, with `infrasage ingest --follow` of a file,
// and of standard input that does not end. A process follows, this one writes lines and asks for the usage again and
// again through the same socket as every other command; a line is there when the total has it.
//
//   --lines N    single lines, each at a random moment after the one before is there (100)
//   --steady N   then so many lines a second (2000)
//   --seconds N  for so long (20)
//   --json       print the result as JSON

import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { usage } from '../dist/reports/usage.js';
import { connectShared } from '../dist/store/socket-client.js';
import { seconds, tableText, whole } from './figures.js';
import { machine, machineText } from './machine.js';

const PROGRAM = fileURLToPath(new URL('../bin/infrasage.js', import.meta.url));
/** Lines come in so many portions a second where they come steadily: between two looks at the file there are several. */
const PORTIONS = 20;

/** @typedef {{ p50: number, p99: number, most: number, lines: number }} Latency in ms */

/** @param {number} i */
const line = (i) =>
  `${JSON.stringify({
    tenant_id: 'acme-corp',
    service_id: `service-${i % 20}`,
    event_type: 'metric',
    timestamp: new Date().toISOString(),
    metric_name: 'requests',
    value: i,
    attributes: { host: `host-${i % 50}`, region: 'eu-west-1' },
  })}\n`;

/** @param {readonly number[]} latencies @returns {Latency} */
function latency(latencies) {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (/** @type {number} */ share) => sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), most: at(1), lines: sorted.length };
}

/**
 * @param {'file' | 'stream'} from
 * @param {{ lines: number, steady: number, lasting: number }} amounts
 */
async function bench(from, { lines, steady, lasting }) {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'infrasage-bench-'));
  const dataDir = join(folder, 'data');
  const path = join(folder, 'app.ndjson');
  writeFileSync(path, '');
  const child = spawn(
    process.execPath,
    [PROGRAM, '--data-dir', dataDir, 'ingest', '--follow', ...(from === 'file' ? [path] : [])],
    { stdio: ['pipe', 'ignore', 'inherit'], env: { ...process.env, NO_COLOR: '1' } },
  );
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const write = (/** @type {string} */ text) =>
    from === 'file' ? appendFileSync(path, text) : child.stdin.write(text);
  try {
    let store;
    while (!store) {
      if (child.exitCode !== null) throw new Error('infrasage ingest --follow has ended');
      await wait(50);
      store = await connectShared({ dataDir, database: 'infrasage' }).catch(() => undefined);
    }
    const period = { start: new Date(Date.now() - 86_400_000), end: new Date(Date.now() + 86_400_000) };
    const wanted = { tenantId: null, period, groupBy: /** @type {const} */ ('event_type'), asOf: null };
    /** When each line was written. @type {number[]} */
    const written = [];
    /** @type {number[]} */
    const single = [];
    /** @type {number[]} */
    const steadily = [];
    let there = 0;
    const add = (/** @type {number} */ count) => {
      const text = Array.from({ length: count }, (_, i) => line(written.length + i)).join('');
      write(text);
      const now = performance.now();
      for (let i = 0; i < count; i++) written.push(now);
    };
    /** Looks once, and notes of each line that has come how long it took. @param {number[]} into */
    const look = async (into) => {
      const { totalEvents } = await usage(store, wanted);
      const now = performance.now();
      for (; there < Number(totalEvents); there++) into.push(now - (written[there] ?? now));
    };
    // The first makes the engine's caches warm.
    add(1);
    while (there < written.length) await look([]);
    for (let i = 0; i < lines; i++) {
      await wait(Math.random() * 400);
      add(1);
      while (there < written.length) await look(single);
    }
    const start = performance.now();
    const due = () => Math.floor((performance.now() - start) / (1000 / PORTIONS)) * (steady / PORTIONS);
    const before = written.length;
    const writing = setInterval(() => {
      const missing = Math.min(due(), steady * lasting) - (written.length - before);
      if (missing > 0) add(missing);
    }, 1000 / PORTIONS);
    while (there < before + steady * lasting) {
      await look(steadily);
      // What looks all the time would take the machine from what it measures.
      await wait(25);
    }
    clearInterval(writing);
    await store.close();
    return { from, single: latency(single), steady: latency(steadily) };
  } finally {
    child.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}

const { values } = parseArgs({
  options: {
    lines: { type: 'string', default: '100' },
    steady: { type: 'string', default: '2000' },
    seconds: { type: 'string', default: '20' },
    json: { type: 'boolean', default: false },
  },
});
const amounts = {
  lines: Number(values.lines),
  steady: Number(values.steady),
  lasting: Number(values.seconds),
};
const on = await machine();
const results = [await bench('file', amounts), await bench('stream', amounts)];
const title = (/** @type {string} */ from) => (from === 'file' ? 'a file' : 'standard input');
const rows = results.flatMap(({ from, single, steady }) => [
  [`${title(from)}, single lines`, single],
  [`${title(from)}, ${whole(amounts.steady)} lines/s`, steady],
]);
const table = tableText([
  ['from its being written to its being in reports, s', 'lines', 'p50', 'p99', 'longest'],
  ...rows.map(([name, { lines, p50, p99, most }]) => [
    name,
    whole(lines),
    seconds(p50),
    seconds(p99),
    seconds(most),
  ]),
]);
process.stdout.write(
  values.json
    ? `${JSON.stringify({ machine: on, latencies_ms: results }, null, 2)}\n`
    : `${machineText(on)}\n\n${table}\n`,
);
