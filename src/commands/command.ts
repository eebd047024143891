import type { Command } from 'commander';
import type { Context } from '../context.ts';
import type { ExitStatus } from '../errors.ts';

/** What a command does when it is called: returns the exit status. */
export type Handler<Options, Arguments extends unknown[] = []> = (
  context: Context,
  options: Options,
  ...args: Arguments
) => Promise<ExitStatus>;

/** Turns a handler into commander's action: opens the context, runs, closes. */
export type Act = <Options, Arguments extends unknown[] = []>(
  command: Command,
  handler: Handler<Options, Arguments>,
) => void;

/** A command's own file: its arguments, options and examples, and what it does. */
export interface CommandModule {
  configure(command: Command, act: Act): void;
}

/** Examples at the end of a command's help. */
export function examples(command: Command, lines: readonly string[]): Command {
  return command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}
