// node bench/ledger.js: what exactly once costs. The same input is ingested by the program's own pipeline with
// everything on; with intents, counts and commits alone, so without what recognises input, claims and settles;
// and with none of it: lines are cut, spooled and written side by side as always. In turn, each in a process of its own on
// a fresh directory. Measured are wall and CPU time from an open store to the last batch, medians of all rounds.
//
//   --events N   lines of the input, 1 % of them bad (1000000)
//   --rounds N   rounds (5)

import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from './figures.js';

/** @typedef {{ wallMs: number, cpuMs: number }} Sample */

const SELF = fileURLToPath(import.meta.url);
const GENERATOR = fileURLToPath(new URL('./generate.js', import.meta.url));

const OPTIONS = {
  tenant: null,
  defaultType: null,
  strict: false,
  assumeUtc: false,
  maxAgeSeconds: null,
  maxLine: 1_048_576,
  batchBytes: 64_000_000,
  flushMs: 1000,
  dryRun: false,
  allowDuplicates: false,
};

const now = () => new Date();

/** @typedef {import('../src/store/store.ts').Store} Store */

/** @type {Record<string, (store: Store, file: string) => Promise<unknown>>} */
const WAYS = {
  async ledger(store, file) {
    const { ingest } = await import('../dist/ingest/ingest.js');
    const { fileSource } = await import('../dist/ingest/source.js');
    await ingest([fileSource(file)], OPTIONS, { store, now });
  },

  /** With intents, counts and commits, but nothing that recognises input or settles what was interrupted. */
  async noted(store, file) {
    const { recordIntent, recordCommit } = await import('../dist/ingest/ledger.js');
    const { countBatch } = await import('../dist/ingest/stored-rows.js');
    const { thisProcess } = await import('../dist/store/process.js');
    const owner = thisProcess();
    await writeAll(store, file, {
      before: (batch) =>
        recordIntent(store, { ...batch, attempt: 1, once: false, spooled: batch.bytes, owner }, now()),
      after: async (batch) => {
        const entry = { ...batch, attempt: 1, once: false, spooled: batch.bytes, owner };
        await recordCommit(store, entry, await countBatch(store, batch), now());
      },
    });
  },

  async bare(store, file) {
    await writeAll(store, file, { before: async () => {}, after: async () => {} });
  },
};

/**
 * Cuts, spools and writes a file, and does what a way asks for around each batch.
 * @param {Store} store @param {string} file
 * @param {{ before(batch: any): Promise<void>, after(batch: any): Promise<void> }} around
 */
async function writeAll(store, file, { before, after }) {
  const { cutBatches } = await import('../dist/ingest/batch.js');
  const { fileSource } = await import('../dist/ingest/source.js');
  const { spool } = await import('../dist/ingest/spool.js');
  const source = fileSource(file);
  const underWay = new Set();
  for await (const { pieces, key, ...cut } of cutBatches(source.read(), '', OPTIONS)) {
    const batch = {
      ...{
        ...cut,
        key,
        batchId: `${key}#1`,
        source: file,
        receivedAt: now(),
        options: OPTIONS,
        bindings: [],
      },
    };
    const path = await spool(store.spoolDir, batch, pieces);
    while (underWay.size >= store.parallelism) await Promise.race(underWay);
    await before(batch);
    const writing = store
      .writeBatch({ ...batch, path })
      .then(() => after(batch))
      .then(() => {
        rmSync(path);
        underWay.delete(writing);
      });
    underWay.add(writing);
  }
  await Promise.all(underWay);
}

/** @param {string} way @param {string} file @param {string} dataDir @returns {Promise<Sample>} */
async function measure(way, file, dataDir) {
  const { openEmbedded } = await import('../dist/store/embedded.js');
  const store = await openEmbedded({ dataDir, database: 'infrasage', command: 'bench' });
  const cpu = process.cpuUsage();
  const start = performance.now();
  await WAYS[way]?.(store, file);
  const wallMs = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  await store.close();
  return { wallMs, cpuMs: (user + system) / 1000 };
}

/** @param {string} folder @param {number} events @param {number} rounds */
function compare(folder, events, rounds) {
  const file = join(folder, 'events.ndjson');
  const out = openSync(file, 'w');
  execFileSync(process.execPath, [GENERATOR, `--count=${events}`], { stdio: ['ignore', out, 'inherit'] });
  closeSync(out);
  /** @type {Record<string, Sample[]>} */
  const samples = { ledger: [], noted: [], bare: [] };
  for (let round = 0; round < rounds; round++) {
    // Who goes first changes with each round.
    for (const way of round % 2 === 0 ? ['ledger', 'noted', 'bare'] : ['bare', 'noted', 'ledger']) {
      const dataDir = join(folder, 'data');
      const told = execFileSync(process.execPath, [SELF, '--way', way, file, dataDir], { encoding: 'utf8' });
      /** @type {Sample} */
      const sample = JSON.parse(told);
      samples[way]?.push(sample);
      process.stderr.write(`${way.padEnd(6)} ${shown(sample)}\n`);
      rmSync(dataDir, { recursive: true });
    }
  }
  /** @param {string} way @returns {Sample} */
  const middle = (way) => ({
    wallMs: median((samples[way] ?? []).map(({ wallMs }) => wallMs)),
    cpuMs: median((samples[way] ?? []).map(({ cpuMs }) => cpuMs)),
  });
  const [ledger, noted, bare] = [middle('ledger'), middle('noted'), middle('bare')];
  const share = (/** @type {Sample} */ of) =>
    `${(of.wallMs / ledger.wallMs).toFixed(3)} of the wall time and ${(of.cpuMs / ledger.cpuMs).toFixed(3)} of the CPU time`;
  process.stdout.write(
    `everything on             ${shown(ledger)}
intents, counts, commits  ${shown(noted)}: ${share(noted)}
none of it                ${shown(bare)}: ${share(bare)}
`,
  );
}

/** @param {Sample} sample */
const shown = ({ wallMs, cpuMs }) => `${Math.round(wallMs)} ms wall, ${Math.round(cpuMs)} ms CPU`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    events: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '5' },
    way: { type: 'string' },
  },
});

if (values.way) {
  const [file = '', dataDir = ''] = positionals;
  process.stdout.write(JSON.stringify(await measure(values.way, file, dataDir)));
} else {
  const folder = mkdtempSync(join(tmpdir(), 'infrasage-ledger-'));
  try {
    compare(folder, Number(values.events), Number(values.rounds));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
