import type { Argument, Command, Option } from 'commander';

/** What could come next: words, each with what it is; or the names of files or directories, which the shell knows. */
export type Candidates =
  | { kind: 'words'; words: readonly Candidate[] }
  | { kind: 'files' }
  | { kind: 'directories' };

export interface Candidate {
  word: string;
  what: string;
}

/** What the words so far have said. */
export interface Line {
  /** Values of options by the names that commander has for them. */
  options: Readonly<Record<string, string | true>>;
}

export interface Sources {
  /** Loads the file of a command, which has its options and subcommands. */
  load(command: Command): Promise<void>;
  /** Words that an option of a command is one of; none where it may be anything. */
  choices(option: Option, command: Command): readonly string[];
  /** Tenants whose names begin so. */
  tenants(prefix: string, line: Line): Promise<readonly string[]>;
}

/** Options with these values take what is on the disk. */
const ON_DISK: Record<string, 'files' | 'directories'> = {
  file: 'files',
  files: 'files',
  dir: 'directories',
};

/**
 * What could come next on a command line, from the commands' own definitions.
 * @param words after the program's name, as the shell reads them; the last is the one to be completed, and may be ''
 */
export async function candidates(
  program: Command,
  words: readonly string[],
  sources: Sources,
): Promise<Candidates> {
  const current = words.at(-1) ?? '';
  const { command, options, operands, expects, ended } = await read(program, words.slice(0, -1), sources);
  const line: Line = { options };
  if (expects) return valuesOf(expects, current, { command, line, sources });
  if (ended || !current.startsWith('-')) return next(command, operands, { program, current });
  const [flag = '', value] = split(current);
  const option = value === undefined ? undefined : optionOf(command, flag);
  if (option && value !== undefined) {
    const found = await valuesOf(option, value, { command, line, sources });
    if (found.kind !== 'words') return found;
    return { kind: 'words', words: found.words.map((one) => ({ ...one, word: `${flag}=${one.word}` })) };
  }
  const shown = allOptions(command).filter(({ hidden }) => !hidden);
  const help = { word: '--help', what: 'print help' };
  return matching(
    [...shown.map(({ long, description }) => ({ word: long ?? '', what: description })), help],
    current,
  );
}

interface State {
  command: Command;
  options: Record<string, string | true>;
  operands: number;
  /** The option whose value comes next. */
  expects: Option | undefined;
  /** Whether -- has ended the options. */
  ended: boolean;
}

async function read(program: Command, words: readonly string[], { load }: Sources): Promise<State> {
  const state: State = { command: program, options: {}, operands: 0, expects: undefined, ended: false };
  for (const word of words) {
    const { expects, command } = state;
    if (expects && !(expects.optional && word.startsWith('-'))) {
      state.options[expects.attributeName()] = word;
      state.expects = undefined;
    } else if (word === '--' && !state.ended) {
      state.ended = true;
    } else if (word.startsWith('-') && word !== '-' && !state.ended) {
      const [flag = '', value] = split(word);
      const option = optionOf(command, flag);
      state.expects =
        option && value === undefined && (option.required || option.optional) ? option : undefined;
      if (option && !state.expects) state.options[option.attributeName()] = value ?? true;
    } else {
      state.expects = undefined;
      const sub =
        state.operands === 0
          ? command.commands.find((one) => one.name() === word || one.aliases().includes(word))
          : undefined;
      if (sub) {
        await load(sub);
        state.command = sub;
      } else {
        state.operands += 1;
      }
    }
  }
  return state;
}

/** A subcommand or an argument. */
function next(
  command: Command,
  operands: number,
  { program, current }: { program: Command; current: string },
): Candidates {
  if (command.parent === program && command.name() === 'help')
    return matching(operands === 0 ? commandsOf(program) : [], current);
  if (command.commands.length > 0 && operands === 0) return matching(commandsOf(command), current);
  const { registeredArguments: all } = command;
  const argument: Argument | undefined = all[operands] ?? (all.at(-1)?.variadic ? all.at(-1) : undefined);
  const onDisk = ON_DISK[argument?.name() ?? ''];
  if (onDisk) return { kind: onDisk };
  return matching(
    (argument?.argChoices ?? []).map((word) => ({ word, what: '' })),
    current,
  );
}

async function valuesOf(
  option: Option,
  current: string,
  { command, line, sources }: { command: Command; line: Line; sources: Sources },
): Promise<Candidates> {
  if (option.long === '--tenant') {
    const names = await sources.tenants(current, line);
    return matching(
      names.map((word) => ({ word, what: '' })),
      current,
    );
  }
  const [, placeholder = ''] = /[<[](\w+)/.exec(option.flags) ?? [];
  const onDisk = ON_DISK[placeholder];
  if (onDisk) return { kind: onDisk };
  return matching(
    sources.choices(option, command).map((word) => ({ word, what: '' })),
    current,
  );
}

function commandsOf(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .map((one) => ({ word: one.name(), what: one.summary() || one.description() }));
}

/** Its own, and those of the commands above it. */
function allOptions(command: Command): Option[] {
  return [...command.options, ...(command.parent ? allOptions(command.parent) : [])];
}

function optionOf(command: Command, flag: string): Option | undefined {
  return allOptions(command).find(({ long, short }) => flag === long || flag === short);
}

/** `--format=json` in two. */
function split(word: string): [string, string | undefined] {
  const at = word.startsWith('--') ? word.indexOf('=') : -1;
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

function matching(all: readonly Candidate[], prefix: string): Candidates {
  return { kind: 'words', words: all.filter(({ word }) => word !== '' && word.startsWith(prefix)) };
}
