import { existsSync, linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import { isAlive, processIdentity, thisProcess } from './process.ts';

/**
 * The data directory's lock: says which process has it. The engine locks the
 * directory too, and that lock decides; this one comes first so that the loser
 * is told by whom, and without the engine's own words on stderr.
 */
export interface Lock {
  release(): void;
}

const holder = processIdentity.extend({
  command: z.string(),
  /** Whether it lets other commands use the directory through it. */
  shares: z.boolean().default(false),
  /** Whether it is done within a moment, so that others wait for it. */
  brief: z.boolean().default(false),
});
export type Holder = z.infer<typeof holder>;

/** A live process has the data directory. */
export class DirectoryInUse extends InfrasageError {
  readonly holder: Holder;

  constructor(dataDir: string, by: Holder) {
    super(`the data directory ${dataDir} is in use by process ${by.pid} (infrasage ${by.command})`, {
      hint: by.shares
        ? 'other commands work through it; give this one another --data-dir'
        : 'wait until it has finished, or give another --data-dir',
    });
    this.holder = by;
  }
}

/**
 * Takes the lock, over a dead holder's too.
 * @param as what the holder runs, for the message that others get, and whether it shares the directory or has it briefly
 * @throws DirectoryInUse (exit 3) that names the live process which holds it
 */
export function takeLock(
  dataDir: string,
  as: Pick<Holder, 'command' | 'shares'> & { brief?: boolean },
): Lock {
  const path = join(dataDir, 'infrasage.lock');
  const me: Holder = { ...thisProcess(), brief: false, ...as };
  const mine = join(dataDir, `infrasage.lock.${me.pid}`);
  try {
    writeFileSync(mine, `${JSON.stringify(me)}\n`, { mode: 0o600 });
    // Linking is atomic: of several processes exactly one gets the name.
    for (let tries = 0; tries < 10; tries++) {
      try {
        linkSync(mine, path);
        return { release: () => rmSync(path, { force: true }) };
      } catch (error) {
        if (!isCode(error, 'EEXIST')) throw error;
      }
      const other = readHolder(path);
      if (other && isAlive(other)) throw new DirectoryInUse(dataDir, other);
      clearAway(path, `${path}.stale.${me.pid}`);
    }
    throw new InfrasageError(`the data directory ${dataDir} is in use`, { hint: 'try again in a moment' });
  } catch (error) {
    // On a full disk reports still work: the engine's own lock is enough for that.
    if (isCode(error, 'ENOSPC')) return { release: () => {} };
    throw error;
  } finally {
    rmSync(mine, { force: true });
  }
}

/** The live process that has the data directory; undefined where there is none. */
export function holderOf(dataDir: string): Holder | undefined {
  const found = lockFile(dataDir);
  return found?.holder && found.isAlive ? found.holder : undefined;
}

/** The lock as it lies there, also of a process that is gone; without a holder where it is damaged. */
export function lockFile(
  dataDir: string,
): { path: string; holder: Holder | undefined; isAlive: boolean } | undefined {
  const path = join(dataDir, 'infrasage.lock');
  if (!existsSync(path)) return undefined;
  const found = readHolder(path);
  return { path, holder: found, isAlive: found !== undefined && isAlive(found) };
}

/**
 * Removes the lock of a holder that is gone. Renaming is atomic, so one process
 * does it; where another took the lock in between, its lock is put back.
 */
function clearAway(path: string, aside: string): void {
  try {
    renameSync(path, aside);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return;
    throw error;
  }
  const taken = readHolder(aside);
  if (taken && isAlive(taken)) {
    try {
      linkSync(aside, path);
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
    }
  }
  rmSync(aside, { force: true });
}

function readHolder(path: string): Holder | undefined {
  try {
    return holder.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined;
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
