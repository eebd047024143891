import { z } from 'zod';
import { EXIT, InfrasageError } from '../errors.ts';

const engineError = z.object({
  message: z.string(),
  code: z.coerce.string().optional(),
  type: z.string().optional(),
});

/** The engine's code for a full disk. */
export const DISK_FULL = '243';

/** What failed for a reason that may pass by itself; of a change, it is not known whether it was done. */
export class Interrupted extends InfrasageError {}

/** Engine error codes that call for words of their own. */
const KNOWN: Record<string, { message: string; hint: string }> = {
  [DISK_FULL]: {
    message: 'the disk is full',
    hint: 'make space and run the same command again: what was acknowledged is intact',
  },
  '241': {
    message: 'the engine ran out of memory for this query',
    hint: 'ask for a shorter period, or run with more memory',
  },
};

/**
 * A driver's failure as an operator reads it, classified by the engine's error
 * code. The engine's own first line is kept; its stack and query text are not.
 */
export function storeFailure(error: unknown): InfrasageError {
  if (error instanceof InfrasageError) return error;
  const parsed = engineError.safeParse(error);
  if (!parsed.success) return new InfrasageError('the engine failed', { cause: error });
  const { code, message } = parsed.data;
  const known = code === undefined ? undefined : KNOWN[code];
  if (known) return new InfrasageError(known.message, { hint: known.hint, cause: error });
  if (/No space left on device|ENOSPC/.test(message)) return storeFailure({ code: DISK_FULL, message });
  return new InfrasageError(`the engine said: ${firstSentence(message)}`, { cause: error });
}

/** A database that is to be read and is not there: a mistyped one is not made. */
export function noDatabase(database: string, where: string): InfrasageError {
  return new InfrasageError(`there is no infrasage database ${database} ${where}`, {
    hint: 'infrasage init makes it, and so does the first ingest; or give another --database',
  });
}

/** Engine codes of what is not the question's fault. */
const NOT_ASKED_WRONG = [DISK_FULL, '241', '159', '202', '236', '394', '999'];
const READONLY = ['164', '497'];

/** Why a question was not answered: where the engine refuses it, that is wrong usage. */
export function questionFailure(failure: InfrasageError): InfrasageError {
  const parsed = engineError.safeParse(failure.cause);
  const code = parsed.success ? parsed.data.code : undefined;
  if (code === undefined || NOT_ASKED_WRONG.includes(code)) return failure;
  const { message, cause } = failure;
  const [, unset] = /Substitution [`'"]?(\w+)[`'"]? is not set/.exec(message) ?? [];
  if (unset !== undefined) {
    return new InfrasageError(`{${unset}:…} in the statement has no value`, {
      hint: `--param ${unset}=…`,
      exitStatus: EXIT.usage,
      cause,
    });
  }
  const hint = READONLY.includes(code)
    ? 'infrasage sql reads the tables of the database, and nothing else'
    : '';
  return new InfrasageError(message, { hint, exitStatus: EXIT.usage, cause });
}

/** Whether something failed for want of space on the disk. */
export function isDiskFull(error: InfrasageError): boolean {
  return error.message === KNOWN[DISK_FULL]?.message;
}

function firstSentence(message: string): string {
  const text =
    message
      .replace(/^Code: \d+\. DB::Exception: /, '')
      .replace(/: In scope .*$/s, '')
      .split('\n')[0] ?? '';
  return text.length > 300 ? `${text.slice(0, 299)}…` : text;
}
