import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** What came of it: `taken` where another program has the directory, `unknown` where that cannot be told. */
export type Removal = 'removed' | 'none' | 'taken' | 'unknown';

const TAKEN = 75;

/**
 * Removes the files of mutations that a full disk kept the engine from writing:
 * they are empty, no row was changed by them, and the engine refuses to open a
 * table that has one. The command that wanted the change wants it again.
 *
 * This is done under the engine's own lock on the directory, which other
 * programs than this one take too: by flock(1), since Node has no such call.
 * Where the lock is taken, or there is no flock, nothing is touched.
 */
export function removeUnwrittenMutations(dataDir: string): Removal {
  const files = unwrittenMutations(dataDir);
  const options = ['--nonblock', '--conflict-exit-code', String(TAKEN)];
  const { status } = spawnSync('flock', [...options, join(dataDir, 'status'), 'rm', '-f', '--', ...files], {
    stdio: 'ignore',
  });
  if (status === TAKEN) return 'taken';
  if (status !== 0) return 'unknown';
  return files.length > 0 ? 'removed' : 'none';
}

function unwrittenMutations(dataDir: string): string[] {
  const tables = join(dataDir, 'store');
  if (!existsSync(tables)) return [];
  return readdirSync(tables)
    .flatMap((prefix) => readdirSync(join(tables, prefix)).map((table) => join(tables, prefix, table)))
    .flatMap((table) => readdirSync(table).map((name) => ({ name, path: join(table, name) })))
    .filter(({ name, path }) => /^mutation_\d+\.txt$/.test(name) && statSync(path).size === 0)
    .map(({ path }) => path);
}
