// npm run bench: `infrasage ingest` against what one would use instead, in turn in one run. The engine's plain INSERT
// of the valid lines neither validates nor meters, keeps no dead letters and does not sync to disk: it is the
// yardstick, not an alternative. The hand-written script and jq are alternatives.
//
// Each contender is a process of its own on a fresh directory. Measured of it:
//   whole process  wall time from start to end
//   work alone     `elapsed_ms` of the ingest's own result; the time of the INSERT statement or of the script's loop
//   CPU            user + system of the whole process
//   memory         peak resident set, the mapped engine library included
//   stored         bytes on disk of its table of events, once parts are merged
// How exact CPU and memory are is said in process.js.
//
// Events and bytes are those of the valid lines for all, though some also read and keep the bad ones. After each
// ingest what is stored is compared with the generator's tally, line by line.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CONTENDERS } from './contenders/index.js';
import { decimals, seconds, shown, spread, tableText, whole } from './figures.js';
import { tally, writeInput } from './input.js';
import { machine, machineText } from './machine.js';
import { killRunning } from './process.js';

/** @typedef {import('./contenders/index.js').Sample} Sample */

const BAD_RATE = 0.01;
const MIXES = ['mixed', 'metric', 'log', 'trace'];
const LONG = [1_000_000, 10_000_000, 100_000_000];
/** Those that --long leaves out at sizes where they would take hours. */
const SLOW = ['script', 'jq'];

const USAGE = `npm run bench -- [options]

  --events N    lines of the input, 1 % of them bad (1000000)
  --long        1, 10 and 100 million lines, one round each (needs 110 GB for temporary files)
  --rounds N    rounds, each contender once in each (5)
  --only LIST   contenders, with commas: ${Object.keys(CONTENDERS).join(', ')}
  --mix MIX     ${MIXES.join(', ')} or all (mixed)
  --seed N      seed of the input (1)
  --now TIME    newest timestamp of the input (the start of this UTC day)
  --order ORDER random: every part of the input has all hours, or time (random)
  --extras      fields outside the contract in one event of eight
  --json        print the result as JSON

Needs about four times the size of the input (250 bytes an event) where temporary files go (TMPDIR).
`;

/**
 * @param {string} directory
 * @param {{ events: number, rounds: number, only: string[], mix: string, seed: number, now: string, order: 'random' | 'time', extras: boolean }} options
 * @param {(text: string) => void} say
 */
async function bench(directory, { events, rounds, only, mix, seed, now, order, extras }, say) {
  say(`writing ${whole(events)} events, ${mix}`);
  const input = await writeInput(
    {
      seed,
      count: events,
      badRate: BAD_RATE,
      mix: /** @type {import('./generate.js').Mix} */ (mix),
      now,
      order,
      extras,
    },
    directory,
  );
  const { truth } = input;
  /** @type {Record<string, Sample[]>} */
  const samples = Object.fromEntries(only.map((name) => [name, []]));
  /** @type {string[]} */
  const differences = [];
  for (let round = 1; round <= rounds; round++) {
    // In turn forwards and backwards, so that nobody always comes after the same one.
    for (const name of round % 2 === 1 ? only : only.toReversed()) {
      const contender = CONTENDERS[name];
      if (!contender) continue;
      const place = join(directory, 'data');
      mkdirSync(place);
      const { sample, differences: found } = await contender.run(input, place);
      samples[name]?.push(sample);
      differences.push(...found.map((text) => `round ${round}, ${name}: ${text}`));
      say(`round ${round} of ${rounds}: ${contender.title} ${seconds(sample.wallMs)} s`);
      // Nothing is left that the next one would have to write to disk.
      rmSync(place, { recursive: true });
      spawnSync('sync');
    }
  }
  return {
    input: {
      mix,
      seed,
      now,
      order,
      extras,
      lines: truth.lines,
      accepted: truth.accepted,
      rejected: truth.rejected,
      bytes: input.bytes,
      sha256: input.sha256,
      stored_sha256: createHash('sha256')
        .update(JSON.stringify(tally(truth)))
        .digest('hex'),
    },
    rounds,
    contenders: Object.fromEntries(
      Object.entries(samples).map(([name, runs]) => [
        name,
        figures(runs, { events: truth.accepted, bytes: truth.bytesReceived + truth.accepted }),
      ]),
    ),
    // Of each round, so that what slows the machine for a while slows both sides of a ratio.
    ingest_against: Object.fromEntries(
      Object.entries(samples)
        .filter(([name]) => name !== 'ingest' && samples.ingest)
        .map(([name, runs]) => [name, against(samples.ingest ?? [], runs)]),
    ),
    differences,
  };
}

/** @param {readonly Sample[]} runs @param {{ events: number, bytes: number }} of */
function figures(runs, { events, bytes }) {
  /** @param {(sample: Sample) => number} value */
  const over = (value) => spread(runs.map(value));
  return {
    wall_ms: over((s) => s.wallMs),
    work_ms: over((s) => s.workMs),
    events_per_second: over((s) => (events / s.wallMs) * 1000),
    mb_per_second: over((s) => bytes / s.wallMs / 1000),
    work_events_per_second: over((s) => (events / s.workMs) * 1000),
    cpu_seconds_per_million: over((s) => (s.cpuMs ? (s.cpuMs / events) * 1000 : Number.NaN)),
    peak_mb: over((s) => (s.peakBytes ? s.peakBytes / 1e6 : Number.NaN)),
    stored_mb_per_million: over((s) => (s.storedBytes ?? Number.NaN) / events),
  };
}

/** Ingest in relation to another: of speeds, more than 1 is faster. @param {readonly Sample[]} ingest @param {readonly Sample[]} others */
function against(ingest, others) {
  /** @param {(ingest: Sample, other: Sample) => number} ratio */
  const over = (ratio) =>
    spread(
      ingest.flatMap((sample, i) => {
        const other = others[i];
        return other ? [ratio(sample, other)] : [];
      }),
    );
  return {
    speed_whole_process: over((a, b) => b.wallMs / a.wallMs),
    speed_work_alone: over((a, b) => b.workMs / a.workMs),
    cpu: over((a, b) => (b.cpuMs ? a.cpuMs / b.cpuMs : Number.NaN)),
    peak_memory: over((a, b) => (b.peakBytes ? a.peakBytes / b.peakBytes : Number.NaN)),
    stored: over((a, b) => (a.storedBytes ?? Number.NaN) / (b.storedBytes ?? Number.NaN)),
  };
}

/** @param {Awaited<ReturnType<typeof bench>>} report */
function reportText({ input, rounds, contenders, ingest_against, differences }) {
  const title = (/** @type {string} */ name) => CONTENDERS[name]?.title ?? name;
  const main = tableText([
    [
      `median (min–max) of ${rounds}`,
      'events/s',
      'MB/s',
      'wall s',
      'work alone s',
      'CPU-s/million',
      'peak MB',
      'stored MB/million',
    ],
    ...Object.entries(contenders).map(([name, c]) => [
      title(name),
      shown(c.events_per_second, whole),
      shown(c.mb_per_second, decimals(1)),
      shown(c.wall_ms, seconds),
      shown(c.work_ms, seconds),
      shown(c.cpu_seconds_per_million, decimals(2)),
      shown(c.peak_mb, whole),
      shown(c.stored_mb_per_million, decimals(1)),
    ]),
  ]);
  const ratios = Object.entries(ingest_against);
  const compared = tableText([
    [
      'infrasage ingest FILE against',
      'speed, whole process',
      'speed, work alone',
      'CPU',
      'peak memory',
      'stored',
    ],
    ...ratios.map(([name, r]) => [
      title(name),
      shown(r.speed_whole_process, decimals(2)),
      shown(r.speed_work_alone, decimals(2)),
      shown(r.cpu, decimals(2)),
      shown(r.peak_memory, decimals(2)),
      shown(r.stored, decimals(2)),
    ]),
  ]);
  return `
${whole(input.lines)} lines (${whole(input.accepted)} valid, ${whole(input.rejected)} bad), ${whole(input.bytes)} bytes, ${input.mix}, seed ${input.seed}, now ${input.now}, ${input.order} order${input.extras ? ', extras' : ''}
sha256 of the input ${input.sha256}, of the counts it makes ${input.stored_sha256}

${main}
${ratios.length > 0 ? `\n${compared}\n` : ''}
${differences.length === 0 ? "what infrasage stored equals the generator's tally, in every round" : `NOT EQUAL to the generator's tally:\n${differences.join('\n')}`}
`;
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
      long: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '5' },
      only: { type: 'string' },
      mix: { type: 'string', default: 'mixed' },
      seed: { type: 'string', default: '1' },
      now: { type: 'string', default: `${new Date().toISOString().slice(0, 10)}T00:00:00.000Z` },
      order: { type: 'string', default: 'random' },
      extras: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  if (values.mix !== 'all' && !MIXES.includes(values.mix)) {
    throw new Error(`--mix must be ${MIXES.join(', ')} or all, not '${values.mix}'`);
  }
  if (values.order !== 'random' && values.order !== 'time') throw new Error('--order must be random or time');
  const here = Object.keys(CONTENDERS).filter((name) => CONTENDERS[name]?.isHere?.() ?? true);
  const asked = values.only?.split(',') ?? here;
  const unknown = asked.find((name) => !here.includes(name));
  if (unknown !== undefined)
    throw new Error(`there is no contender ${unknown} here, only ${here.join(', ')}`);
  const common = {
    seed: positive('--seed', values.seed),
    now: values.now,
    order: /** @type {'random' | 'time'} */ (values.order),
    extras: values.extras,
  };
  const sizes = values.long ? LONG : [positive('--events', values.events)];
  const mixes = values.mix === 'all' ? MIXES : [values.mix];
  const say = (/** @type {string} */ text) => process.stderr.write(`${text}\n`);

  const directory = mkdtempSync(join(realpathSync(tmpdir()), 'infrasage-bench-'));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  for (const [signal, status] of /** @type {const} */ ([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])) {
    process.on(signal, () => {
      killRunning();
      remove();
      process.exit(status);
    });
  }
  try {
    const on = await machine();
    if (!values.json) process.stdout.write(`${machineText(on)}\n`);
    const reports = [];
    for (const events of sizes) {
      const only = values.long && events > 1_000_000 ? asked.filter((name) => !SLOW.includes(name)) : asked;
      for (const mix of mixes) {
        const rounds = values.long ? 1 : positive('--rounds', values.rounds);
        const report = await bench(directory, { ...common, events, rounds, only, mix }, say);
        reports.push(report);
        if (!values.json) process.stdout.write(reportText(report));
        if (report.differences.length > 0) process.exitCode = 1;
      }
    }
    if (values.json) process.stdout.write(`${JSON.stringify({ machine: on, reports }, null, 2)}\n`);
  } finally {
    remove();
  }
}

main().catch((/** @type {Error} */ error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
});
