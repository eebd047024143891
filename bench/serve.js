// node bench/serve.js PART…: what `infrasage serve` does under load, by HTTP, on a server process of its own.
//
//   breakdown  answers of GET /api/v1/usage/breakdown by type over a year of metering of 1,000 tenants (52,560,000
//              rows), 50 requests a second, evenly, of twenty tenants in turn, after five seconds of the same
//   batches    a million events in batches of 1,000, against `infrasage ingest` of the same file, in turn
//   singles    one event a request, 256 connections
//   mixed      all of it at once, with the server's memory; `infrasage verify` after it
//
//   --seconds N  length of breakdown and singles (30)
//   --minutes N  length of mixed (10)
//   --rounds N   rounds of batches (3)
//   --rows N     metering rows of breakdown, in steps of 52,560 (52560000)

import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import autocannon from 'autocannon';
import { Pool } from 'undici';
import { median } from './figures.js';
import { fillMetering } from './fill.js';
import { EVENT_TYPES } from './generate.js';

const PROGRAM = fileURLToPath(new URL('../bin/infrasage.js', import.meta.url));
const GENERATOR = fileURLToPath(new URL('./generate.js', import.meta.url));
const SECRET = 'a secret that only this benchmark has';
const BATCH = 1_000;
/** Senders of batches, each of which waits for its answer. */
const CONNECTIONS = [16, 64, 256];

/** @typedef {{ origin: string, pid: number, stop(): Promise<void> }} Server */

/** @param {string} dataDir */
function environment(dataDir) {
  return {
    ...process.env,
    INFRASAGE_DATA_DIR: dataDir,
    INFRASAGE_JWT_SECRET: SECRET,
    INFRASAGE_LOG_LEVEL: 'error',
    // What is measured is the server, not its limit of requests.
    INFRASAGE_RATE_LIMIT: '100000000',
  };
}

/** Runs the program to its end. @param {string} dataDir @param {string[]} args @param {number} [input] */
function run(dataDir, args, input) {
  return execFileSync(process.execPath, [PROGRAM, ...args], {
    env: environment(dataDir),
    encoding: 'utf8',
    stdio: [input ?? 'ignore', 'pipe', 'pipe'],
    maxBuffer: 1e9,
  });
}

/** @param {string} dataDir @returns {Promise<Server>} */
async function serve(dataDir) {
  const child = spawn(process.execPath, [PROGRAM, 'serve', '--port', '0'], {
    env: environment(dataDir),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  let origin;
  while (!origin) {
    if (child.exitCode !== null) throw new Error(`the server did not start: ${said}`);
    await wait(20);
    origin = /listening on (http:\S+?);/.exec(said)?.[1];
  }
  return {
    origin,
    pid: child.pid ?? 0,
    async stop() {
      child.kill('SIGTERM');
      if ((await ended) !== 0) throw new Error(`the server did not stop well: ${said}`);
    },
  };
}

/** @param {string} dataDir @param {string} role @param {string} tenant */
function token(dataDir, role, tenant) {
  return run(dataDir, ['token', 'create', '--role', role, '--tenant', tenant, '--expires', '1d']).trim();
}

/** Resident memory, MB. @param {number} pid */
function residentMb(pid) {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kib) / 1000);
}

/** @param {string} text */
const print = (text) => process.stdout.write(`${text}\n`);

/** @param {autocannon.Result} result */
function assertAnswered(result) {
  const { errors, timeouts, non2xx } = result;
  if (errors + timeouts + non2xx > 0) {
    throw new Error(`${errors} errors, ${timeouts} time-outs, ${non2xx} answers other than 2xx`);
  }
}

/**
 * Sends requests evenly in time, whatever becomes of those before.
 * @param {number} rate a second @param {number} seconds @param {(i: number) => Promise<void>} send
 * @returns {Promise<number[]>} how long each took from when it was due, ms, the shortest first
 */
async function atRate(rate, seconds, send) {
  const start = performance.now();
  /** @type {Promise<number>[]} */
  const sent = [];
  for (let i = 0; i < rate * seconds; i++) {
    const due = start + (i * 1000) / rate;
    await wait(Math.max(0, due - performance.now()));
    sent.push(send(i).then(() => performance.now() - due));
  }
  return (await Promise.all(sent)).toSorted((a, b) => a - b);
}

/** @param {string} dataDir @param {{ rows: number, seconds: number }} options */
async function breakdown(dataDir, { rows, seconds }) {
  const start = performance.now();
  const stored = await fillMetering(dataDir, rows);
  print(`${stored} metering rows in ${((performance.now() - start) / 1000).toFixed(0)} s`);
  const server = await serve(dataDir);
  const tokens = Array.from({ length: 20 }, (_, i) =>
    token(dataDir, 'viewer', `tenant-${String(i * 47).padStart(4, '0')}`),
  );
  for (const since of ['24h', '30d', '365d']) {
    const url = `${server.origin}/api/v1/usage/breakdown?since=${since}&group_by=event_type`;
    /** @param {number} i */
    const ask = async (i) => {
      const response = await fetch(url, {
        headers: { authorization: `Bearer ${tokens[i % tokens.length]}` },
      });
      const { breakdown: rows } = await response.json();
      if (rows?.length !== EVENT_TYPES.length)
        throw new Error(`${response.status}, and not ${EVENT_TYPES.length} rows`);
    };
    // A server that has just begun has its code to compile: that is not counted.
    await atRate(50, 5, ask);
    const took = await atRate(50, seconds, ask);
    const [p50, p99, most] = [0.5, 0.99, 1].map((share) =>
      took[Math.ceil(took.length * share) - 1]?.toFixed(0),
    );
    print(`breakdown since ${since}: ${took.length} answers, p50 ${p50} ms, p99 ${p99} ms, most ${most} ms`);
  }
  await server.stop();
}

/** @param {string} folder @param {number} events */
function generate(folder, events) {
  const file = join(folder, 'events.ndjson');
  const out = openSync(file, 'w');
  execFileSync(process.execPath, [GENERATOR, `--count=${events}`], { stdio: ['ignore', out, 'inherit'] });
  closeSync(out);
  return file;
}

/** Requests of BATCH events each, as NDJSON. @param {string} file */
function batchesOf(file) {
  const lines = readFileSync(file, 'utf8').split('\n');
  lines.pop();
  const bodies = [];
  for (let i = 0; i < lines.length; i += BATCH) bodies.push(`${lines.slice(i, i + BATCH).join('\n')}\n`);
  return bodies;
}

/**
 * Sends each body once.
 * @param {Server} server @param {string} token @param {string[]} bodies @param {number} connections
 */
async function sendAll({ origin }, token, bodies, connections) {
  const pool = new Pool(origin, { connections });
  let next = 0;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      for (let body = bodies[next++]; body !== undefined; body = bodies[next++]) {
        const response = await pool.request({
          path: '/api/v1/telemetry/batch',
          method: 'POST',
          body,
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson' },
        });
        const text = await response.body.text();
        if (![200, 207, 422].includes(response.statusCode)) throw new Error(`${response.statusCode} ${text}`);
      }
    }),
  );
  await pool.close();
}

/** @param {string} folder @param {{ rounds: number }} options */
async function batches(folder, { rounds }) {
  const file = generate(folder, 1_000_000);
  const bodies = batchesOf(file);
  const ratios = new Map(CONNECTIONS.map((connections) => [connections, /** @type {number[]} */ ([])]));
  for (let round = 0; round < rounds; round++) {
    const cli = join(folder, `cli-${round}`);
    run(cli, ['init']);
    const started = performance.now();
    run(cli, ['ingest', '--no-alerts', file]);
    const byCommand = performance.now() - started;
    const expected = totalEvents(cli);
    rmSync(cli, { recursive: true });
    for (const [connections, speeds] of ratios) {
      const dataDir = join(folder, `http-${round}`);
      run(dataDir, ['init']);
      const server = await serve(dataDir);
      const platform = token(dataDir, 'super-admin', 'platform');
      const begun = performance.now();
      await sendAll(server, platform, bodies, connections);
      const byHttp = performance.now() - begun;
      await server.stop();
      const stored = totalEvents(dataDir);
      if (stored !== expected) throw new Error(`${expected} events by the command, ${stored} by HTTP`);
      speeds.push(byCommand / byHttp);
      print(
        `batches, ${connections} connections: command ${(byCommand / 1000).toFixed(2)} s, HTTP ${(byHttp / 1000).toFixed(2)} s`,
      );
      rmSync(dataDir, { recursive: true });
    }
  }
  for (const [connections, speeds] of ratios) {
    print(`batches, ${connections} connections: median ${median(speeds).toFixed(2)} of the command's speed`);
  }
}

/** @param {string} dataDir @returns {number} */
function totalEvents(dataDir) {
  return JSON.parse(run(dataDir, ['usage', '--since', '4w', '--json'])).total_events;
}

/** @param {string} tenant */
function oneEvent(tenant) {
  return JSON.stringify({
    tenant_id: tenant,
    service_id: 'checkout',
    event_type: 'metric',
    metric_name: 'latency_ms',
    value: 12.5,
    timestamp: new Date().toISOString(),
  });
}

/** @param {Server} server @param {string} authorization @param {{ connections: number, seconds: number }} load */
function sendSingles({ origin }, authorization, { connections, seconds }) {
  return autocannon({
    url: `${origin}/api/v1/telemetry`,
    method: 'POST',
    connections,
    duration: seconds,
    timeout: 60,
    headers: { authorization, 'content-type': 'application/json' },
    requests: [{ setupRequest: (request) => ({ ...request, body: oneEvent('acme-corp') }) }],
  });
}

/** @param {string} dataDir @param {{ seconds: number }} options */
async function singles(dataDir, { seconds }) {
  run(dataDir, ['init']);
  const server = await serve(dataDir);
  const authorization = `Bearer ${token(dataDir, 'operator', 'acme-corp')}`;
  const result = await sendSingles(server, authorization, { connections: 256, seconds });
  assertAnswered(result);
  const [batches] = JSON.parse(run(dataDir, ['verify', '--json'])).checks;
  await server.stop();
  const { p50, p99 } = result.latency;
  print(
    `singles: ${Math.round(result.requests.total / seconds)} events/s, p50 ${p50} ms, p99 ${p99} ms; ${result.requests.total} requests in ${batches.groups} batches`,
  );
}

/** @param {string} folder @param {{ minutes: number }} options */
async function mixed(folder, { minutes }) {
  const dataDir = join(folder, 'mixed');
  run(dataDir, ['init']);
  const server = await serve(dataDir);
  const operator = `Bearer ${token(dataDir, 'operator', 'acme-corp')}`;
  const platform = token(dataDir, 'super-admin', 'platform');
  const seconds = minutes * 60;
  const bodies = batchesOf(generate(folder, 100_000));
  /** @type {number[]} */
  const memory = [];
  let running = true;
  const watching = (async () => {
    while (running) {
      memory.push(residentMb(server.pid));
      if (memory.length % 30 === 0) print(`mixed: after ${memory.length} s ${memory.at(-1)} MB`);
      await wait(1_000);
    }
  })();
  let batchesSent = 0;
  const sending = (async () => {
    while (running) {
      await sendAll(server, platform, [bodies[batchesSent++ % bodies.length] ?? ''], 1);
      await wait(200);
    }
  })();
  const [one, reads] = await Promise.all([
    sendSingles(server, operator, { connections: 32, seconds }),
    autocannon({
      url: `${server.origin}/api/v1/usage/breakdown?since=7d&group_by=hour`,
      overallRate: 20,
      connections: 4,
      duration: seconds,
      headers: { authorization: operator },
    }),
  ]);
  running = false;
  await Promise.all([watching, sending]);
  assertAnswered(one);
  assertAnswered(reads);
  await server.stop();
  // execFileSync throws where verify finds a difference.
  run(dataDir, ['verify']);
  const fifth = Math.floor(memory.length / 5);
  const [second, last] = [memory.slice(fifth, 2 * fifth), memory.slice(-fifth)].map(median);
  print(
    `mixed: ${minutes} minutes, ${one.requests.total} single events, ${batchesSent} batches of ${BATCH}, ${reads.requests.total} reads (p99 ${reads.latency.p99} ms); memory ${second} MB in the second fifth, ${last} MB in the last, most ${Math.max(...memory)} MB; verify finds nothing`,
  );
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '30' },
    minutes: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
    rows: { type: 'string', default: '52560000' },
  },
});
const PARTS = { breakdown, batches, singles, mixed };
const folder = mkdtempSync(join(tmpdir(), 'infrasage-bench-'));
try {
  for (const name of positionals.length > 0 ? positionals : Object.keys(PARTS)) {
    const part = PARTS[/** @type {keyof typeof PARTS} */ (name)];
    if (!part) throw new Error(`there is no part ${name}: ${Object.keys(PARTS).join(', ')}`);
    const place = mkdtempSync(join(folder, `${name}-`));
    await part(place, {
      seconds: Number(values.seconds),
      minutes: Number(values.minutes),
      rounds: Number(values.rounds),
      rows: Number(values.rows),
    });
    rmSync(place, { recursive: true });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
