import { createInterface } from 'node:readline/promises';
import type { Context } from '../context.ts';
import { usageError } from '../errors.ts';
import { printable } from '../render/text.ts';

/**
 * Asks the person at the terminal whether to go on with what cannot be undone. Anything but y or yes is no, and so is
 * an end of the input or Ctrl-C.
 * @throws InfrasageError (exit 2) where nobody can be asked
 */
export async function confirmed({ io }: Pick<Context, 'io'>, question: string): Promise<boolean> {
  if (!io.stdin.isTTY || !io.stderr.isTTY) {
    throw usageError(`${question}: nobody can be asked here`, 'say --force to do it without being asked');
  }
  const asking = createInterface({ input: io.stdin, output: io.stderr });
  const closed = new Promise<string>((resolve) => asking.once('close', () => resolve('')));
  try {
    const answer = await Promise.race([asking.question(`${printable(question)}? [y/N] `), closed]);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    asking.close();
  }
}
