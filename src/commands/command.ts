import { type Command, Option } from 'commander';
import type { Context } from '../context.ts';
import { type ExitStatus, usageError } from '../errors.ts';
import { formatsOf } from '../render/format.ts';

/** What a command does when it is called: returns the exit status. */
export type Handler<Options, Arguments extends unknown[] = []> = (
  context: Context,
  options: Options,
  ...args: Arguments
) => Promise<ExitStatus>;

export interface ActOptions {
  /** Whether it runs also where the settings of the environment or a file are wrong; context.fault has what is. */
  brokenSettings?: boolean;
}

/** Loads what a command of the first level has, its options and subcommands, as calling it does; once. */
export type Load = (command: Command) => Promise<void>;

/** Turns a handler into commander's action: opens the context, runs, closes. */
export type Act = <Options, Arguments extends unknown[] = []>(
  command: Command,
  handler: Handler<Options, Arguments>,
  options?: ActOptions,
) => void;

/** A command's own file: its arguments, options and examples, and what it does. */
export interface CommandModule {
  configure(command: Command, act: Act, load: Load): void;
}

/** The words that call a command, without the program's name: `alerts add`. */
export function nameOf(command: Command): string {
  const parent = command.parent;
  return parent?.parent ? `${nameOf(parent)} ${command.name()}` : command.name();
}

/** The words that an option is one of, for this command; none where it may be anything. */
export function choicesOf(option: Option, command: Command): readonly string[] {
  return option.long === '--format' ? formatsOf(nameOf(command)) : (option.argChoices ?? []);
}

/** An option that takes one of some words: help lists them and shells complete them; who reads it refuses others. */
export function oneOf(flags: string, description: string, words: readonly string[]): Option {
  const option = new Option(flags, description);
  option.argChoices = [...words];
  return option;
}

/**
 * Takes words after a command that it has no arguments for, and refuses them with what was meant.
 * @param meant the line to give in their place; undefined where it is not known
 * @returns what throws (exit 2) where there are such words; for the handler to call first
 */
export function refuseExcess(
  command: Command,
  meant: (words: readonly string[]) => string | undefined,
): () => void {
  command.allowExcessArguments();
  return () => {
    const excess = command.args.slice(command.registeredArguments.length);
    if (excess.length === 0) return;
    throw usageError(
      `${command.name()} does not take ${excess.join(' ')}`,
      meant(command.args) ?? `infrasage ${command.name()} --help`,
    );
  };
}

const EXAMPLES = new WeakMap<Command, readonly string[]>();

/** Examples at the end of a command's help; those of its subcommands too, which show the lines that call them. */
export function examples(command: Command, lines: readonly string[]): Command {
  EXAMPLES.set(command, lines);
  return command;
}

/** The examples of a command: its own, or the lines of a command above it that call it. */
export function examplesOf(command: Command): readonly string[] {
  const own = EXAMPLES.get(command);
  if (own) return own;
  const above: Command | null = command.parent;
  if (!above?.parent) return [];
  const words = ` ${above.name()} ${command.name()}`;
  return examplesOf(above).filter((line) => new RegExp(`${words}(?![\\w-])`).test(line));
}
