import type { Command } from 'commander';
import { buildProgram } from '../../src/program.ts';

/** Every command that does something, as the words that call it: `alerts add`. */
export async function everyCommandLine(): Promise<string[]> {
  const quiet = { writeOut() {}, writeErr() {}, outputError() {} };
  const { command, load } = buildProgram(quiet, () => () => {});
  for (const one of command.commands) await load(one);
  const leaves = (of: Command, above: string): string[] =>
    of.commands.length === 0
      ? [`${above}${of.name()}`]
      : of.commands.flatMap((one) => leaves(one, `${above}${of.name()} `));
  return command.commands.flatMap((one) => leaves(one, ''));
}
