// npm run bench: `infrasage ingest` against the engine's plain INSERT of the same valid lines, in turn in one
// run. The plain INSERT neither validates nor meters, keeps no dead letters and does not sync to disk: it is
// the yardstick, not an alternative. It runs twice, with the engine's defaults and tuned: by default it
// parses a million rows, then sorts and writes them as one block on one core.
//
// Each contender is a process of its own on a fresh directory. Measured of it:
//   whole process  wall time from start to end
//   insert alone   `elapsed_ms` of the ingest's own result; the time of the INSERT statement
//   CPU            user + system of the whole process
//   memory         peak resident set, the mapped engine library included
// How exact CPU and memory are is said at `measure`.
//
// Events and bytes are those of the valid lines for both, though `ingest` also reads and keeps the bad ones.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { generate } from './generate.js';

/**
 * @typedef {import('./generate.js').Truth} Truth
 * @typedef {import('./generate.js').GenerateOptions} GenerateOptions
 * @typedef {{ wallMs: number, cpuMs: number, peakBytes: number, stdout: string }} Run
 * @typedef {{ wallMs: number, workMs: number, cpuMs: number, peakBytes: number }} Sample
 * @typedef {{ median: number, min: number, max: number }} Spread
 * @typedef {{ ingest: Sample, plain: Sample, tuned: Sample, ingestStart: Sample, engineStart: Sample }} Round
 */

const SELF = fileURLToPath(import.meta.url);
const CLI = fileURLToPath(new URL('../bin/infrasage.js', import.meta.url));
const BAD_RATE = 0.01;

const USAGE = `npm run bench -- [options]

  --events N    lines of the input, 1 % of them bad (1000000)
  --rounds N    rounds, each contender once in each (5)
  --mix MIX     mixed, metric, log or trace (mixed)
  --seed N      seed of the input (1)
  --now TIME    newest timestamp of the input (the start of this UTC day)
  --order ORDER random: every part of the input has all hours, or time (random)
  --extras      fields outside the contract in one event of eight
  --json        print the result as JSON

Needs about four times the size of the input (250 bytes an event) where temporary files go (TMPDIR).
`;

// What runs in child processes -----------------------------------------------

/** A table as one would make it by hand. */
const PLAIN_TABLE = `
  CREATE TABLE plain.events
  (
      tenant_id LowCardinality(String),
      timestamp DateTime64(3, 'UTC'),
      event_type LowCardinality(String),
      service_id LowCardinality(String),
      metric_name Nullable(String),
      value Nullable(Float64),
      body Nullable(String),
      trace_id Nullable(String),
      attributes Map(String, String)
  )
  ENGINE = MergeTree
  PARTITION BY toYYYYMM(timestamp)
  ORDER BY (tenant_id, timestamp)`;

const PLAIN_STRUCTURE = `
  tenant_id LowCardinality(String),
  timestamp DateTime64(3, ''UTC''),
  event_type LowCardinality(String),
  service_id LowCardinality(String),
  metric_name Nullable(String),
  value Nullable(Float64),
  body Nullable(String),
  trace_id Nullable(String),
  attributes Map(String, String)`;

/** @type {Record<string, (session: import('chdb').Session, file: string) => unknown>} */
const TASKS = {
  /** Opens the engine and runs one query. */
  start: (session) => {
    session.query('SELECT 1');
    return { version: session.query('SELECT version()', 'TSV').trim() };
  },

  /** The engine's plain INSERT, with its own defaults. */
  plain: (session, file) => insertPlain(session, file, ''),

  /** The same in blocks of the size that ingest writes (32 MB), one on each core at a time. */
  tuned: (session, file) =>
    insertPlain(
      session,
      file,
      `, max_insert_threads = ${cpus().length}, min_insert_block_size_rows = 100000`,
    ),

  /** What an ingest has left in its data directory, read past the program, in the form of `tally`. */
  stored: (session) => {
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
    return {
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
  },
};

/** @param {import('chdb').Session} session @param {string} file @param {string} settings */
function insertPlain(session, file, settings) {
  session.query('CREATE DATABASE plain');
  session.query(PLAIN_TABLE);
  const start = performance.now();
  session.query(`
    INSERT INTO plain.events
    SELECT * FROM file('${file.replaceAll("'", "''")}', 'JSONEachRow', '${PLAIN_STRUCTURE}')
    SETTINGS date_time_input_format = 'best_effort'${settings}`);
  const workMs = performance.now() - start;
  return { workMs, rows: Number(session.query('SELECT count() FROM plain.events', 'TSV')) };
}

/** @param {string} task @param {string} directory @param {string} file */
async function runTask(task, directory, file) {
  const { Session } = await import('chdb');
  const session = new Session(directory);
  const result = TASKS[task]?.(session, file);
  session.close();
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

/** The generator's tally in the form of the `stored` task. @param {Truth} truth */
function tally(truth) {
  /** @param {Truth['byTenantService']} map */
  const table = (map) =>
    [...map].map(([key, { events, bytesReceived }]) => `${key}\t${events}\t${bytesReceived}`).sort();
  const usage = table(truth.byTenantTypeHour);
  return {
    firehose: usage,
    metering: usage,
    services: table(truth.byTenantService),
    errors: [...truth.errors].map(([code, lines]) => `${code}\t${lines}`).sort(),
    deadLetters: digest(truth.rejects.map(({ line, code, raw }) => [String(line), code, raw])),
  };
}

/** @param {string[][]} rows */
function digest(rows) {
  const hash = createHash('sha256');
  for (const row of rows) hash.update(`${row.join('\t')}\n`);
  return `${rows.length} lines, sha256 ${hash.digest('hex')}`;
}

// Measuring a process ----------------------------------------------------------

/** @type {import('node:child_process').ChildProcess | undefined} */
let running;

/**
 * Runs node with these arguments to its end.
 *
 * On Linux CPU time is what the kernel has charged to this process for the children it waited for (cutime +
 * cstime of /proc/self/stat): exact but for rounding to 10 ms, since one child runs at a time. Peak memory is
 * the kernel's high-water mark (VmHWM) of the child, read every 20 ms: only a rise in its last 20 ms can be
 * missed. Elsewhere the child reports its own getrusage on exit: what native libraries do after that is in
 * the wall time only.
 * @param {string} directory for temporary files
 * @param {string[]} args
 * @returns {Promise<Run>}
 */
async function measure(directory, args) {
  const linux = existsSync('/proc/self/stat');
  const usageFile = join(directory, 'usage.json');
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('INFRASAGE_')),
  );
  env.NO_COLOR = '1';
  if (!linux) env.NODE_OPTIONS = `${env.NODE_OPTIONS ?? ''} --import=${usageReporter(usageFile)}`;

  const cpuBefore = linux ? cpuOfChildren() : 0;
  const start = performance.now();
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  running = child;
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  let peakBytes = 0;
  const poll = setInterval(() => {
    if (linux) peakBytes = Math.max(peakBytes, highWaterMark(child.pid));
  }, 20);
  let wallMs = 0;
  child.on('exit', () => {
    wallMs = performance.now() - start;
    clearInterval(poll);
  });
  const ending = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(signal ?? code));
  });
  running = undefined;
  if (ending !== 0) {
    throw new Error(`node ${args.join(' ')}\nended with ${ending}:\n${(stderr || stdout).slice(-3000)}`);
  }
  if (linux) return { wallMs, cpuMs: cpuOfChildren() - cpuBefore, peakBytes, stdout };
  const usage = JSON.parse(readFileSync(usageFile, 'utf8'));
  return {
    wallMs,
    cpuMs: (usage.userCPUTime + usage.systemCPUTime) / 1000,
    peakBytes: usage.maxRSS * 1024,
    stdout,
  };
}

/** In ms. Clock ticks are 10 ms on every Linux that Node runs on. */
function cpuOfChildren() {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  // The second field, the name in brackets, may hold spaces; the rest starts with field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return 10 * (Number(fields[16 - 3]) + Number(fields[17 - 3]));
}

/** In bytes; 0 where the process has gone. @param {number | undefined} pid */
function highWaterMark(pid) {
  try {
    return 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** A module for --import that writes the process's own resource usage to a file. @param {string} file */
function usageReporter(file) {
  const source = `
    import { writeFileSync } from 'node:fs';
    import { isMainThread } from 'node:worker_threads';
    const write = () => writeFileSync(${JSON.stringify(file)}, JSON.stringify(process.resourceUsage()));
    if (isMainThread) process.on('exit', write);`;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

// The rounds -------------------------------------------------------------------

/**
 * Writes the mixed input and its valid lines.
 * @param {GenerateOptions} options
 * @param {string} mixedFile
 * @param {string} validFile
 */
function writeInput(options, mixedFile, validFile) {
  const { chunks, truth } = generate(options);
  const hash = createHash('sha256');
  const mixed = openSync(mixedFile, 'w');
  const valid = openSync(validFile, 'w');
  let bytes = 0;
  let line = 0;
  let reject = 0;
  for (const chunk of chunks) {
    hash.update(chunk);
    bytes += chunk.length;
    writeFileSync(mixed, chunk);
    let kept = 0;
    for (let at = 0; at < chunk.length; ) {
      const end = chunk.indexOf(10, at) + 1;
      if (++line === truth.rejects[reject]?.line) {
        writeFileSync(valid, chunk.subarray(kept, at));
        kept = end;
        reject++;
      }
      at = end;
    }
    writeFileSync(valid, chunk.subarray(kept));
  }
  closeSync(mixed);
  closeSync(valid);
  return { truth, bytes, sha256: hash.digest('hex') };
}

/**
 * @param {string} directory
 * @param {{ mixed: string, valid: string, empty: string, truth: Truth }} input
 * @param {boolean} backwards contenders in the opposite order
 */
async function playRound(directory, input, backwards) {
  const dataDir = join(directory, 'data');
  /** @type {string[]} */
  const differences = [];

  /** @param {string} name @param {unknown} got @param {unknown} expected */
  const check = (name, got, expected) => {
    if (JSON.stringify(got) !== JSON.stringify(expected)) differences.push(difference(name, got, expected));
  };
  /** Leaves nothing behind that the next contender would have to write to disk. */
  const clear = () => {
    rmSync(dataDir, { recursive: true, force: true });
    spawnSync('sync');
  };
  /** @param {string} name @param {string} [file] */
  const task = async (name, file = '') => {
    const run = await measure(directory, [SELF, '--task', name, '--directory', dataDir, '--file', file]);
    return { ...run, result: JSON.parse(run.stdout) };
  };
  /** @param {string} file */
  const ingest = async (file) => {
    const run = await measure(directory, [CLI, 'ingest', file, '--data-dir', dataDir, '--json']);
    return { ...run, result: JSON.parse(run.stdout) };
  };
  /** @param {Run} run @param {number} workMs @returns {Sample} */
  const sample = ({ wallMs, cpuMs, peakBytes }, workMs) => ({ wallMs, workMs, cpuMs, peakBytes });

  /** @param {'plain' | 'tuned'} name */
  const insert = async (name) => {
    const run = await task(name, input.valid);
    check(`rows of the INSERT (${name})`, run.result.rows, input.truth.accepted);
    return sample(run, run.result.workMs);
  };

  const contenders = {
    ingest: async () => {
      const run = await ingest(input.mixed);
      const { lines, accepted, rejected, skipped, bytes_received, errors } = run.result;
      const { truth } = input;
      check('lines', lines, truth.lines);
      check('accepted', accepted, truth.accepted);
      check('rejected', rejected, truth.rejected);
      check('skipped', skipped, 0);
      check('bytes_received', bytes_received, truth.bytesReceived);
      check('errors', Object.entries(errors).sort(), [...truth.errors].sort());
      const stored = (await task('stored')).result;
      for (const [name, expected] of Object.entries(tally(truth)))
        check(`stored ${name}`, stored[name], expected);
      return sample(run, run.result.elapsed_ms);
    },
    plain: () => insert('plain'),
    tuned: () => insert('tuned'),
    ingestStart: async () => {
      const run = await ingest(input.empty);
      return sample(run, run.result.elapsed_ms);
    },
    engineStart: async () => sample(await task('start'), 0),
  };

  /** @type {Partial<Round>} */
  const round = {};
  /** @type {(keyof Round)[]} */
  const order = ['ingestStart', 'engineStart', 'plain', 'ingest', 'tuned'];
  if (backwards) order.reverse();
  for (const name of order) {
    clear();
    round[name] = await contenders[name]();
  }
  clear();
  return { round: /** @type {Round} */ (round), differences };
}

/** What was found and what was expected, in one line. @param {string} name @param {unknown} got @param {unknown} expected */
function difference(name, got, expected) {
  if (!Array.isArray(got) || !Array.isArray(expected)) {
    return `${name}: ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`;
  }
  const [g, e] = [new Set(got.map(String)), new Set(expected.map(String))];
  const extra = [...g].filter((row) => !e.has(row));
  const missing = [...e].filter((row) => !g.has(row));
  return `${name}: ${extra.length} rows not expected (${extra[0]}), ${missing.length} missing (${missing[0]})`;
}

// The report -------------------------------------------------------------------

/** @param {number[]} values @returns {Spread} */
function spread(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (/** @type {number} */ i) => sorted[i] ?? Number.NaN;
  const half = sorted.length >> 1;
  const median = sorted.length % 2 ? at(half) : (at(half - 1) + at(half)) / 2;
  return { median, min: at(0), max: at(sorted.length - 1) };
}

/** @param {Sample[]} samples @param {number} events @param {number} bytes */
function summary(samples, events, bytes) {
  /** @param {(sample: Sample) => number} value */
  const over = (value) => spread(samples.map(value));
  return {
    wall_ms: over((s) => s.wallMs),
    insert_ms: over((s) => s.workMs),
    events_per_second: over((s) => (events / s.wallMs) * 1000),
    mb_per_second: over((s) => bytes / s.wallMs / 1000),
    insert_events_per_second: over((s) => (events / s.workMs) * 1000),
    cpu_seconds_per_million: over((s) => (s.cpuMs / events) * 1000),
    peak_mb: over((s) => s.peakBytes / 1e6),
  };
}

/** @param {Sample[]} samples */
function startSummary(samples) {
  return {
    wall_ms: spread(samples.map((s) => s.wallMs)),
    cpu_ms: spread(samples.map((s) => s.cpuMs)),
    peak_mb: spread(samples.map((s) => s.peakBytes / 1e6)),
  };
}

/** @param {Spread} spread @param {(n: number) => string} form */
const shown = ({ median, min, max }, form) => `${form(median)} (${form(min)}–${form(max)})`;
const whole = (/** @type {number} */ n) => Math.round(n).toLocaleString('en-US');
const decimals = (/** @type {number} */ digits) => (/** @type {number} */ n) => n.toFixed(digits);
const seconds = (/** @type {number} */ ms) => (ms / 1000).toFixed(2);

/** @param {string[][]} rows the first is the head */
function tableText(rows) {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const text = rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('   '),
  );
  text.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('   '));
  return text.join('\n');
}

/** @param {Awaited<ReturnType<typeof bench>>} report */
function reportText({ machine, versions, input, rounds, contenders, starts, ratios, differences }) {
  const { ingest, plain, tuned } = contenders;
  /** @param {string} name @param {(c: typeof ingest) => string} value */
  const row = (name, value) => [name, value(ingest), value(plain), value(tuned)];
  const main = tableText([
    [`median (min–max) of ${rounds.length}`, 'infrasage ingest', 'plain INSERT', 'plain INSERT, tuned'],
    row('events/s, whole process', (c) => shown(c.events_per_second, whole)),
    row('MB/s, whole process', (c) => shown(c.mb_per_second, decimals(1))),
    row('wall s, whole process', (c) => shown(c.wall_ms, seconds)),
    row('wall s, insert alone', (c) => shown(c.insert_ms, seconds)),
    row('events/s, insert alone', (c) => shown(c.insert_events_per_second, whole)),
    row('CPU-s per million events', (c) => shown(c.cpu_seconds_per_million, decimals(2))),
    row('peak memory MB', (c) => shown(c.peak_mb, whole)),
  ]);
  /** @param {(s: typeof starts.ingest) => string} value */
  const startRow = (/** @type {string} */ name, value) => [name, value(starts.ingest), value(starts.engine)];
  const start = tableText([
    ['start-up alone', 'ingest of an empty file', 'open engine, SELECT 1'],
    startRow('wall s', (s) => shown(s.wall_ms, seconds)),
    startRow('CPU s', (s) => shown(s.cpu_ms, seconds)),
    startRow('peak memory MB', (s) => shown(s.peak_mb, whole)),
  ]);
  const { against_plain, against_tuned } = ratios;
  /** @param {string} name @param {(r: typeof against_plain) => Spread} value */
  const ratioRow = (name, value) => [
    name,
    shown(value(against_plain), decimals(2)),
    shown(value(against_tuned), decimals(2)),
  ];
  const compared = tableText([
    ['ingest in relation to', 'plain INSERT', 'plain INSERT, tuned'],
    ratioRow('speed, whole process', (r) => r.speed_whole_process),
    ratioRow('speed, insert alone', (r) => r.speed_insert_alone),
    ratioRow('CPU', (r) => r.cpu),
    ratioRow('peak memory', (r) => r.peak_memory),
  ]);
  return `${machine.cpu}, ${machine.cores} cores, ${whole(machine.memory_mb)} MB, ${machine.system}
infrasage ${versions.infrasage}, node ${versions.node}, engine ${versions.engine} (chdb ${versions.chdb})
${whole(input.lines)} lines (${whole(input.accepted)} valid, ${whole(input.rejected)} bad), ${whole(input.bytes)} bytes, mix ${input.mix}, seed ${input.seed}, now ${input.now}, ${input.order} order${input.extras ? ', extras' : ''}
sha256 ${input.sha256}

${main}

${start}

${compared}

${differences.length === 0 ? "stored counts equal the generator's tally, in every round" : `NOT EQUAL to the generator's tally:\n${differences.join('\n')}`}
`;
}

/**
 * @param {string} directory
 * @param {{ events: number, rounds: number, mix: import('./generate.js').Mix, seed: number, now: string, order: 'random' | 'time', extras: boolean }} options
 * @param {(text: string) => void} say
 */
async function bench(directory, options, say) {
  const { events, mix, seed, now, order, extras } = options;
  const files = {
    mixed: join(directory, 'events.ndjson'),
    valid: join(directory, 'valid.ndjson'),
    empty: join(directory, 'empty.ndjson'),
  };
  say(`writing ${whole(events)} events`);
  writeFileSync(files.empty, '');
  const generated = writeInput(
    { seed, count: events, badRate: BAD_RATE, mix, now, order, extras },
    files.mixed,
    files.valid,
  );
  const { truth } = generated;

  /** @type {Round[]} */
  const rounds = [];
  const differences = [];
  for (let i = 0; i < options.rounds; i++) {
    const played = await playRound(directory, { ...files, truth }, i % 2 === 1);
    const { ingest, plain, tuned } = played.round;
    rounds.push(played.round);
    differences.push(...played.differences.map((text) => `round ${i + 1}: ${text}`));
    say(
      `round ${i + 1} of ${options.rounds}: ingest ${seconds(ingest.wallMs)} s (alone ${seconds(ingest.workMs)}), ` +
        `plain INSERT ${seconds(plain.wallMs)} s (alone ${seconds(plain.workMs)}), ` +
        `tuned ${seconds(tuned.wallMs)} s (alone ${seconds(tuned.workMs)})`,
    );
  }

  const engine = await measure(directory, [SELF, '--task', 'start', '--directory', join(directory, 'data')]);
  const root = new URL('../', import.meta.url);
  const version = (/** @type {string} */ file) =>
    JSON.parse(readFileSync(new URL(file, root), 'utf8')).version;
  // Of each round, so that what slows the machine for a while slows both sides of a ratio.
  const against = (/** @type {'plain' | 'tuned'} */ other) => ({
    speed_whole_process: spread(rounds.map((r) => r[other].wallMs / r.ingest.wallMs)),
    speed_insert_alone: spread(rounds.map((r) => r[other].workMs / r.ingest.workMs)),
    cpu: spread(rounds.map((r) => r.ingest.cpuMs / r[other].cpuMs)),
    peak_memory: spread(rounds.map((r) => r.ingest.peakBytes / r[other].peakBytes)),
  });
  const of = (/** @type {'ingest' | 'plain' | 'tuned'} */ name) =>
    summary(
      rounds.map((round) => round[name]),
      truth.accepted,
      truth.bytesReceived + truth.accepted,
    );
  return {
    machine: {
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores: cpus().length,
      memory_mb: totalmem() / 1e6,
      system: `${process.platform} ${release()} ${process.arch}`,
    },
    versions: {
      infrasage: version('package.json'),
      node: process.version,
      engine: JSON.parse(engine.stdout).version,
      chdb: version('node_modules/chdb/package.json'),
    },
    input: {
      lines: truth.lines,
      accepted: truth.accepted,
      rejected: truth.rejected,
      bytes: generated.bytes,
      sha256: generated.sha256,
      mix,
      seed,
      now,
      order,
      extras,
    },
    rounds,
    contenders: { ingest: of('ingest'), plain: of('plain'), tuned: of('tuned') },
    starts: {
      ingest: startSummary(rounds.map((r) => r.ingestStart)),
      engine: startSummary(rounds.map((r) => r.engineStart)),
    },
    ratios: { against_plain: against('plain'), against_tuned: against('tuned') },
    differences,
  };
}

/** @param {string} name @param {string} text */
function positive(name, text) {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 1)
    throw new Error(`${name} must be a positive whole number, not '${text}'`);
  return n;
}

async function main() {
  const { values } = parseArgs({
    options: {
      events: { type: 'string', default: '1000000' },
      rounds: { type: 'string', default: '5' },
      mix: { type: 'string', default: 'mixed' },
      seed: { type: 'string', default: '1' },
      now: { type: 'string', default: `${new Date().toISOString().slice(0, 10)}T00:00:00.000Z` },
      order: { type: 'string', default: 'random' },
      extras: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      // of the children
      task: { type: 'string' },
      directory: { type: 'string', default: '' },
      file: { type: 'string', default: '' },
    },
  });
  if (values.task !== undefined) return runTask(values.task, values.directory, values.file);
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  if (!['mixed', 'metric', 'log', 'trace'].includes(values.mix)) {
    throw new Error(`--mix must be mixed, metric, log or trace, not '${values.mix}'`);
  }
  if (values.order !== 'random' && values.order !== 'time') throw new Error('--order must be random or time');
  const options = {
    events: positive('--events', values.events),
    rounds: positive('--rounds', values.rounds),
    mix: /** @type {import('./generate.js').Mix} */ (values.mix),
    seed: positive('--seed', values.seed),
    now: values.now,
    order: /** @type {'random' | 'time'} */ (values.order),
    extras: values.extras,
  };

  const directory = mkdtempSync(join(realpathSync(tmpdir()), 'infrasage-bench-'));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  for (const [signal, status] of /** @type {const} */ ([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])) {
    process.on(signal, () => {
      running?.kill('SIGKILL');
      remove();
      process.exit(status);
    });
  }
  try {
    const report = await bench(directory, options, (text) => process.stderr.write(`${text}\n`));
    process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : reportText(report));
    if (report.differences.length > 0) process.exitCode = 1;
  } finally {
    remove();
  }
}

main().catch((/** @type {Error} */ error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
});
