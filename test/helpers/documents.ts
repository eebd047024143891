import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError } from 'commander';
import { buildProgram } from '../../src/program.ts';

/** The folder of the checkout. */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Every page that shows commands: README, CONTRIBUTING and those in docs/. */
export function pages(): string[] {
  const docs = readdirSync(`${ROOT}docs`).filter((name) => name.endsWith('.md'));
  return ['README.md', 'CONTRIBUTING.md', ...docs.map((name) => `docs/${name}`)];
}

/** The text of a file of the checkout. */
export function documentText(name: string): string {
  return readFileSync(`${ROOT}${name}`, 'utf8');
}

/** What is between two fences. */
export interface Block {
  /** What is written behind the first fence; empty where nothing is. */
  language: string;
  text: string;
  /** The number of its first line in the page. */
  line: number;
  /** The heading that it is under, without its signs. */
  heading: string;
}

/** The fenced blocks of a page, in its order. */
export function blocksOf(text: string): Block[] {
  const blocks: Block[] = [];
  let heading = '';
  let open: Block | undefined;
  for (const [i, line] of text.split('\n').entries()) {
    const [, language] = /^```(.*)$/.exec(line) ?? [];
    if (open) {
      if (language === undefined) open.text += `${line}\n`;
      else open = undefined;
    } else if (language !== undefined) {
      open = { language, text: '', line: i + 2, heading };
      blocks.push(open);
    } else heading = /^#+ (.*)$/.exec(line)?.[1] ?? heading;
  }
  return blocks;
}

/** A command line of a block. */
export interface Step {
  /** Without its comment; with the lines that continue it. */
  command: string;
  /** What is shown below it; undefined where nothing can be, in a block of commands alone. */
  shown?: string;
  line: number;
  heading: string;
}

/** Languages of blocks of commands. */
export const COMMANDS = ['sh', 'bash', 'console'];

/**
 * The command lines of a page, in its order. Lines of which one runs beside the others (`… &`) are one step.
 * @throws Error of a console block that does not begin with a command
 */
export function stepsOf(text: string): Step[] {
  return blocksOf(text)
    .filter(({ language }) => COMMANDS.includes(language))
    .flatMap((block) => (block.language === 'console' ? shownIn(block) : commandsIn(block)));
}

/** The command lines of a block of commands alone. */
export function commandsIn({ text, line, heading }: Block): Step[] {
  if (/ &$/m.test(text)) return [{ command: text.trimEnd(), line, heading }];
  return [...text.matchAll(/^(?:.*\\\n)*.+$/gm)].map((match) => ({
    command: match[0].replace(/ +#.*$/, ''),
    line: line + lineBreaks(text.slice(0, match.index)),
    heading,
  }));
}

function shownIn({ text, line, heading }: Block): Step[] {
  if (!text.startsWith('$ ')) throw new Error(`line ${line}: a console block begins with a command`);
  return [...text.matchAll(/^\$ (.*)\n((?:(?!\$ ).*\n)*)/gm)].map(
    ({ 1: command = '', 2: shown = '', index }) => ({
      command,
      shown: shown.trimEnd(),
      line: line + lineBreaks(text.slice(0, index)),
      heading,
    }),
  );
}

function lineBreaks(text: string): number {
  return text.split('\n').length - 1;
}

/** The commands that a page names: `infrasage …` between single backquotes, and what a service starts. */
export function namedIn(text: string): string[] {
  const prose = text.replace(/^```.*?^```$/gms, '');
  const named = [...prose.matchAll(/`((?:npx )?infrasage [^`]*)`/g)].map(([, command = '']) => command);
  const started = [...text.matchAll(/^ExecStart=\S*\/(infrasage .*)$/gm)].map(([, command = '']) => command);
  return [...named, ...started].map((command) => command.replace(/\s+/g, ' '));
}

/** A command line that is the program's own, and what a shell would do for it. */
export interface OwnCommand {
  args: string[];
  stdin?: string;
  stdout?: string;
}

/** @returns undefined where it takes more of a shell than quotes, `<` and `>` */
export function ownCommand(command: string): OwnCommand | undefined {
  if (!/^infrasage /.test(command) || /[|&`\\\n]|\$\(/.test(command)) return;
  const words =
    command.match(/"[^"]*"|'[^']*'|\S+/g)?.map((word) => word.replace(/^(["'])(.*)\1$/, '$2')) ?? [];
  const own: OwnCommand = { args: [] };
  for (let i = 1; i < words.length; i++) {
    if (words[i] === '<') own.stdin = words[++i] ?? '';
    else if (words[i] === '>') own.stdout = words[++i] ?? '';
    else own.args.push(words[i] ?? '');
  }
  return own;
}

/** What commander says of a line that needs more to be run. */
const INCOMPLETE = ['missingMandatoryOptionValue', 'optionMissingArgument', 'missingArgument'];

/**
 * Whether the program takes a command line: the command, its options and how many arguments it has. Nothing is run.
 * @param options.isWhole whether nothing that it needs may be missing
 * @throws CommanderError that says what it does not take
 */
export async function parse(args: readonly string[], { isWhole = true } = {}): Promise<void> {
  const quiet = { writeOut() {}, writeErr() {}, outputError() {} };
  const { command } = buildProgram(quiet, () => (one) => {
    if (one instanceof Command) one.action(() => {});
  });
  try {
    await command.parseAsync([...args], { from: 'user' });
  } catch (error) {
    const code = error instanceof CommanderError ? error.code.replace('commander.', '') : '';
    if (isWhole || !INCOMPLETE.includes(code)) throw error;
  }
}

/** The scripts that a line of npm runs and the checkout does not have. */
export function missingScripts(command: string): string[] {
  const { scripts } = JSON.parse(documentText('package.json')) as { scripts: Record<string, string> };
  return [...command.matchAll(/npm (?:run )?([a-z:-]+)/g)]
    .map(([, name = '']) => name)
    .filter((name) => name !== 'install' && !(name in scripts));
}

/** Whether a test file of that name reads a page. */
export function isReadBy(test: string, page: string): boolean {
  return existsSync(`${ROOT}${test}`) && documentText(test).includes(basename(page));
}

/**
 * What is printed, without what differs from run to run: figures, times, ids, units of size, how wide columns and
 * bars are. Words and their order stay.
 */
export function shape(text: string): string {
  return text
    .split('\n')
    .filter((line) => !CHART.test(line))
    .join('\n')
    .replace(/[█▉▊▋▌▍▎▏░·┊┃]+/g, ' ')
    .replace(/\b([0-9a-f]{8}(-[0-9a-f]{4}){3}-)?[0-9a-f]{12}\b/g, '#')
    .replace(/[+-]?[\d.,:TZ-]*\d[\d.,:TZ-]*/g, '#')
    .replace(/\b(B|KiB|MiB|GiB|TiB)\b/g, 'B')
    .replace(/\s+/g, ' ')
    .trim();
}

/** A line of columns, and the axis below them: how many there are depends on the month and the hour. */
const CHART = /^ *[\d.]*( ?[KMG]i?B?)? *[┤│└+|][^|]*$|^ +(\d\d-\d\d|\d\d:\d\d)( |$)/;

/** Whether something was printed as a page shows it: a line of `…` is for any that are left out. */
export function isAsShown(printed: string, shown: string): boolean {
  const parts = shown.split(/^…$/m).map((part) => shape(part).replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(shape(printed));
}
