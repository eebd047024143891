// node bench/server.js: `infrasage ingest` into a ClickHouse server on this machine, against one `curl` POST of the
// same valid lines as JSONEachRow into a plain table of it, in turn in one run. The server is the genuine one from
// the engine's library. What the plain table is given is neither validated nor metered, nor synced to disk.
//
//   --events N   lines (1000000)
//   --rounds N   rounds, each contender once in each (5)

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { askServer, startServer } from './contenders/clickhouse.js';
import { PLAIN_TABLE } from './contenders/plain-table.js';
import { median } from './figures.js';

const PROGRAM = fileURLToPath(new URL('../bin/infrasage.js', import.meta.url));
const GENERATOR = fileURLToPath(new URL('./generate.js', import.meta.url));

/** Of a process, what it printed and how long it took; this one must not stand still, lest it misses that its connection was closed. */
const run = promisify(execFile);

/**
 * @param {string} program
 * @param {string[]} args
 */
async function timed(program, args) {
  const start = performance.now();
  const { stdout } = await run(program, args);
  return { stdout, seconds: (performance.now() - start) / 1000 };
}

const { values } = parseArgs({ options: { events: { type: 'string' }, rounds: { type: 'string' } } });
const events = Number(values.events ?? 1_000_000);
const rounds = Number(values.rounds ?? 5);
const folder = mkdtempSync(join(tmpdir(), 'infrasage-bench-server-'));
const server = await startServer(join(folder, 'server'));
try {
  const file = join(folder, 'events.ndjson');
  const out = openSync(file, 'w');
  const generator = spawn(process.execPath, [GENERATOR, `--count=${events}`, '--bad=0'], {
    stdio: ['ignore', out, 'inherit'],
  });
  const [status] = await once(generator, 'exit');
  if (status !== 0) throw new Error('the events were not written');
  closeSync(out);
  await askServer(server.url, 'CREATE DATABASE plain');
  const infrasage = ['--clickhouse', server.url, '--data-dir', join(folder, 'data')];
  /** @type {{ post: number[], whole: number[], alone: number[] }} */
  const times = { post: [], whole: [], alone: [] };
  for (let round = 0; round < rounds; round++) {
    await askServer(server.url, PLAIN_TABLE);
    const insert = `${server.url}/?query=${encodeURIComponent('INSERT INTO plain.events FORMAT JSONEachRow')}&date_time_input_format=best_effort&input_format_skip_unknown_fields=1&async_insert=0`;
    const post = ['-sS', '--fail', '--data-binary', `@${file}`, '-H', 'Expect:', insert];
    times.post.push((await timed('curl', post)).seconds);
    const database = `round_${round}`;
    const command = [PROGRAM, ...infrasage, '--database', database];
    await run(process.execPath, [...command, 'init']);
    const ingest = await timed(process.execPath, [...command, 'ingest', '--json', file]);
    times.whole.push(ingest.seconds);
    const summary = JSON.parse(ingest.stdout);
    times.alone.push(summary.elapsed_ms / 1000);
    const stored = await askServer(server.url, 'SELECT count() FROM plain.events');
    if (summary.accepted !== events || Number(stored) !== events) {
      throw new Error(`${summary.accepted} events by infrasage and ${stored} by curl, of ${events}`);
    }
    await askServer(server.url, 'DROP TABLE plain.events SYNC');
    await askServer(server.url, `DROP DATABASE ${database} SYNC`);
  }
  const [posted, whole, alone] = [times.post, times.whole, times.alone].map(median);
  if (posted === undefined || whole === undefined || alone === undefined) throw new Error('no rounds');
  process.stdout.write(
    `medians of ${rounds}, ${events} events: one curl POST ${posted.toFixed(2)} s; infrasage ingest ${whole.toFixed(2)} s, ` +
      `${(posted / whole).toFixed(2)} of its speed (without the start of the program ${alone.toFixed(2)} s, ${(posted / alone).toFixed(2)})\n`,
  );
} finally {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
