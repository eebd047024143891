// What a benchmark ran on.

import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { whole } from './figures.js';
import { measure } from './process.js';

const ROOT = new URL('../', import.meta.url);

/** @param {string} file */
const versionIn = (file) => JSON.parse(readFileSync(new URL(file, ROOT), 'utf8')).version;

/** The machine, and the versions of all that is measured. */
export async function machine() {
  const engine = await measure([
    process.execPath,
    '--input-type=module',
    '--eval',
    "import { version } from 'chdb'; process.stdout.write(version().libchdb.replaceAll('\"', ''))",
  ]);
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memory_mb: Math.round(totalmem() / 1e6),
    system: `${process.platform} ${release()} ${process.arch}`,
    infrasage: versionIn('package.json'),
    node: process.version,
    engine: engine.stdout,
    chdb: versionIn('node_modules/chdb/package.json'),
    date: new Date().toISOString().slice(0, 10),
  };
}

/** @param {Awaited<ReturnType<typeof machine>>} on */
export function machineText(on) {
  return `${on.date}, ${on.cpu}, ${on.cores} cores, ${whole(on.memory_mb)} MB, ${on.system}
infrasage ${on.infrasage}, node ${on.node}, engine ${on.engine} (chdb ${on.chdb})`;
}
