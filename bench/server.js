// node bench/server.js: `infrasage ingest` into a ClickHouse server on this machine, against one `curl` POST of the
// same valid lines as JSONEachRow into a plain table of it, in turn in one run. The server is the genuine one from
// the engine's library. What the plain table is given is neither validated nor metered, nor synced to disk.
//
//   --events N   lines (1000000)
//   --rounds N   rounds, each contender once in each (5)

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { libchdbPath } from 'chdb/libchdb';

const PROGRAM = fileURLToPath(new URL('../bin/infrasage.js', import.meta.url));
const GENERATOR = fileURLToPath(new URL('./generate.js', import.meta.url));
const LAUNCHER = fileURLToPath(new URL('../test/helpers/clickhouse-server.py', import.meta.url));

const PLAIN_TABLE = `CREATE TABLE plain.events
  (
      tenant_id LowCardinality(String), timestamp DateTime64(3, 'UTC'), event_type LowCardinality(String),
      service_id LowCardinality(String), metric_name Nullable(String), value Nullable(Float64),
      body Nullable(String), trace_id Nullable(String), attributes Map(String, String)
  )
  ENGINE = MergeTree PARTITION BY toYYYYMM(timestamp) ORDER BY (tenant_id, timestamp)`;

/** @param {string} folder */
async function serve(folder) {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  probe.close();
  const query = `SYSTEM START LISTEN HTTP; SELECT sum(sleepEachRow(0.1)) FROM numbers(1000000000)
    SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0, max_threads = 1 FORMAT Null`;
  const options = [`--path=${join(folder, 'server')}`, `--http_port=${port}`, '--listen_host=127.0.0.1'];
  const child = spawn('python3', [LAUNCHER, libchdbPath(), 'clickhouse', ...options, `--query=${query}`], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const url = `http://127.0.0.1:${port}`;
  for (;;) {
    const answer = await fetch(`${url}/ping`).catch(() => undefined);
    if (answer?.ok) break;
    if (child.exitCode !== null) throw new Error('the server did not start');
    await setTimeout(50);
  }
  return { url, stop: () => child.kill('SIGKILL') };
}

/** @param {string} url @param {string} statement */
function sql(url, statement) {
  return execFileSync('curl', ['-sS', '--fail', '--data-binary', statement, url], {
    encoding: 'utf8',
  }).trim();
}

/** @param {() => void} work */
function seconds(work) {
  const start = performance.now();
  work();
  return (performance.now() - start) / 1000;
}

/** @param {readonly number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

const { values } = parseArgs({ options: { events: { type: 'string' }, rounds: { type: 'string' } } });
const events = Number(values.events ?? 1_000_000);
const rounds = Number(values.rounds ?? 5);
const folder = mkdtempSync(join(tmpdir(), 'infrasage-bench-server-'));
const server = await serve(folder);
try {
  const file = join(folder, 'events.ndjson');
  const out = openSync(file, 'w');
  execFileSync(process.execPath, [GENERATOR, `--count=${events}`, '--bad=0'], {
    stdio: ['ignore', out, 'inherit'],
  });
  closeSync(out);
  sql(server.url, 'CREATE DATABASE plain');
  const infrasage = ['--clickhouse', server.url, '--data-dir', join(folder, 'data')];
  /** @type {{ post: number[], whole: number[], alone: number[] }} */
  const times = { post: [], whole: [], alone: [] };
  for (let round = 0; round < rounds; round++) {
    sql(server.url, PLAIN_TABLE);
    const insert = `${server.url}/?query=${encodeURIComponent('INSERT INTO plain.events FORMAT JSONEachRow')}&date_time_input_format=best_effort&input_format_skip_unknown_fields=1&async_insert=0`;
    times.post.push(
      seconds(() =>
        execFileSync('curl', ['-sS', '--fail', '--data-binary', `@${file}`, '-H', 'Expect:', insert], {
          stdio: 'inherit',
        }),
      ),
    );
    const database = `round_${round}`;
    execFileSync(process.execPath, [PROGRAM, ...infrasage, '--database', database, 'init'], {
      stdio: 'ignore',
    });
    let printed = '';
    times.whole.push(
      seconds(() => {
        const args = [PROGRAM, ...infrasage, '--database', database, 'ingest', '--json', file];
        printed = execFileSync(process.execPath, args, { encoding: 'utf8' });
      }),
    );
    const summary = JSON.parse(printed);
    times.alone.push(summary.elapsed_ms / 1000);
    const stored = sql(server.url, 'SELECT count() FROM plain.events');
    if (summary.accepted !== events || Number(stored) !== events) {
      throw new Error(`${summary.accepted} events by infrasage and ${stored} by curl, of ${events}`);
    }
    sql(server.url, 'DROP TABLE plain.events SYNC');
    sql(server.url, `DROP DATABASE ${database} SYNC`);
  }
  const [post, whole, alone] = [times.post, times.whole, times.alone].map(median);
  if (post === undefined || whole === undefined || alone === undefined) throw new Error('no rounds');
  process.stdout.write(
    `medians of ${rounds}, ${events} events: one curl POST ${post.toFixed(2)} s; infrasage ingest ${whole.toFixed(2)} s, ` +
      `${(post / whole).toFixed(2)} of its speed (without the start of the program ${alone.toFixed(2)} s, ${(post / alone).toFixed(2)})\n`,
  );
} finally {
  server.stop();
  rmSync(folder, { recursive: true, force: true });
}
