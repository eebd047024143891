import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inject } from 'vitest';

const BIN = fileURLToPath(new URL('../../bin/infrasage.js', import.meta.url));

/**
 * Makes a data directory as `infrasage init` leaves it, by copying one that is made once in a run of the tests:
 * `init` takes half a second, a copy 20 ms.
 * @param dataDir is not there yet
 */
export function initialised(dataDir: string): void {
  const folder = inject('templates');
  const template = join(folder, 'initialised');
  if (!existsSync(template)) {
    const made = join(mkdtempSync(join(folder, 'making-')), 'data');
    execFileSync(process.execPath, [BIN, '--data-dir', made, 'init'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    try {
      renameSync(made, template);
    } catch (error) {
      // Another test file has made it meanwhile.
      if (!existsSync(template)) throw error;
    }
  }
  execFileSync('cp', ['-R', template, dataDir]);
}
