import { constants } from 'node:fs';
import { type FileHandle, open, realpath, rename, rm } from 'node:fs/promises';
import { InfrasageError, usageError } from '../errors.ts';
import type { Io } from '../io.ts';
import { removeWhenEnded } from './interrupt.ts';
import { nameBeside, removeLeftBehind } from './left-behind.ts';

/** A file that is going to be written. */
export interface OutputFile {
  path: string;
  mode: number;
}

/**
 * Looks at where a file is to be written. To be asked before the engine is opened: what it writes is for this user
 * alone, and what is written here is as any file of the user's.
 * Where there is a file that a command of this name has written, it is made anew without asking. Anything else is
 * somebody's, and a mistyped name must not cost it.
 * @param options.mark how the command's files begin; without one, none is made anew
 * @param options.force whether anything is replaced
 * @throws InfrasageError (exit 2) where it is not to be replaced
 */
export async function outputFile(
  path: string,
  { mark = '', force }: { mark?: string; force: boolean },
): Promise<OutputFile> {
  try {
    // Not to wait for the writer of a named pipe.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const status = await file.stat();
      if (!status.isFile())
        throw usageError(`${path} is not a file`, 'name a file, or - for standard output');
      const { buffer, bytesRead } = await file.read(Buffer.alloc(mark.length), 0, mark.length, 0);
      if (!force && mark === '') throw usageError(`${path} is there already`, '--force replaces it');
      if (!force && buffer.toString('utf8', 0, bytesRead) !== mark)
        throw usageError(`${path} is there, and is no earlier report`, '--force replaces it');
      return { path, mode: status.mode & 0o777 };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error instanceof InfrasageError ? error : failure(path, error);
    const mask = process.umask(0o077);
    process.umask(mask);
    return { path, mode: 0o666 & ~mask };
  }
}

/**
 * To be asked before bytes are printed as they are: a terminal would act on what others have put into them.
 * @param what in words that a message begins with
 * @throws InfrasageError (exit 2) where standard output is a terminal
 */
export function refuseTerminal({ stdout }: Pick<Io, 'stdout'>, what: string, hint: string): void {
  if (stdout.isTTY) throw usageError(`${what} not for a terminal`, hint);
}

/**
 * Writes a file as a whole: whoever reads it finds the old one or the new one, and where this fails, the old one stays.
 * @throws InfrasageError (exit 3)
 */
export async function replaceFile(output: OutputFile, text: string): Promise<void> {
  await fillFile(output, (file) => file.writeFile(text));
}

/**
 * The same of what is written by somebody else, into an open file of another name beside it. Nothing is left of that
 * where this fails or the process is asked to end; of one that was killed, until the same file is written again.
 */
export async function fillFile(
  { path, mode }: OutputFile,
  fill: (file: FileHandle) => Promise<void>,
): Promise<void> {
  let made: { path: string; keep(): void } | undefined;
  try {
    // Where the name is a link, what it leads to is replaced.
    const place = await realpath(path).catch(() => path);
    await removeLeftBehind(place);
    const beside = nameBeside(place);
    // Before there is a file: the process may be ended between any two turns of this.
    made = { path: beside, ...removeWhenEnded(beside) };
    const file = await open(beside, 'wx+', 0o600);
    try {
      await fill(file);
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, place);
  } catch (error) {
    if (made) await rm(made.path, { force: true });
    throw error instanceof InfrasageError ? error : failure(path, error);
  } finally {
    made?.keep();
  }
}

function failure(path: string, cause: unknown): InfrasageError {
  const reason = isCode(cause, 'ENOENT')
    ? 'there is no such folder'
    : isCode(cause, 'EACCES')
      ? 'no permission'
      : isCode(cause, 'ENOSPC')
        ? 'the disk is full'
        : cause instanceof Error
          ? cause.message
          : String(cause);
  return new InfrasageError(`${path} cannot be written: ${reason}`, { cause });
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
