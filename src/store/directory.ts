import { accessSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { InfrasageError } from '../errors.ts';

/**
 * Makes a data directory where it is not there, and a folder in it.
 * @returns the folder's path
 * @throws InfrasageError (exit 3) where it cannot be made or written to
 */
export function prepareDirectory(dataDir: string, ...folder: readonly string[]): string {
  const path = join(dataDir, ...folder);
  try {
    makeDirectory(dataDir);
    if (!statSync(dataDir).isDirectory()) throw notADirectory(dataDir);
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
    makeDirectory(path);
    return path;
  } catch (error) {
    if (error instanceof InfrasageError) throw error;
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EEXIST' || code === 'ENOTDIR') throw notADirectory(dataDir, error);
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      throw new InfrasageError(`no permission to write to the data directory ${dataDir}`, {
        hint: 'give another one with --data-dir, or mend its permissions',
        cause: error,
      });
    }
    throw new InfrasageError(`the data directory ${dataDir} cannot be made`, {
      cause: error,
      hint: 'give another one with --data-dir',
    });
  }
}

/** Like mkdir -p. Node's own goes round for ever where a file system takes no directories, such as /proc. */
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeDirectory(dirname(path));
  mkdirSync(path, { mode: 0o700 });
}

function notADirectory(dataDir: string, cause?: unknown): InfrasageError {
  return new InfrasageError(`${dataDir} is not a directory`, {
    hint: 'give a directory with --data-dir',
    cause,
  });
}
