import { type Argument, Command, Help, type Option } from 'commander';
import { type Act, choicesOf, examples, examplesOf, type Load, oneOf } from './commands/command.ts';
import { COMMANDS } from './commands/index.ts';
import { programVersion } from './package.ts';
import { continued } from './render/command-line.ts';
import { FORMATS } from './render/format.ts';
import { wrapped } from './render/width.ts';

/** How the program writes; what commander itself says is an error goes through outputError. */
interface Output {
  writeOut(text: string): void;
  writeErr(text: string): void;
  outputError(text: string, print: (text: string) => void): void;
  /** Columns of the terminal that help is written to; undefined where it is none. */
  width?(): number | undefined;
}

/** The program with its own options, and what to load its commands by. */
export interface Program {
  command: Command;
  load: Load;
}

/**
 * The command line: options, commands, help. Nothing is loaded but the names of the commands.
 * @param actOf turns a command's handler into its action
 */
export function buildProgram({ width, ...output }: Output, actOf: (program: Command) => Act): Program {
  const program = new Command('infrasage')
    .description('Meter telemetry usage: ingest events, count them once, report, bill and alert.')
    .version(programVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .option(
      '--clickhouse <url>',
      'ClickHouse server to work with instead of the embedded engine (INFRASAGE_CLICKHOUSE_URL)',
    )
    .option(
      '--retry-for <span>',
      'how long to try again while it does not answer, default 60s (INFRASAGE_RETRY_FOR)',
    )
    .option('--data-dir <dir>', 'where the embedded engine keeps its data (INFRASAGE_DATA_DIR)')
    .option('--database <name>', 'database, default infrasage (INFRASAGE_DATABASE)')
    .option('--tenant <id>', 'only this tenant; on ingest, for events without one (INFRASAGE_TENANT)')
    .option('--config <file>', 'file of settings, instead of those usually read (INFRASAGE_CONFIG)')
    .addOption(oneOf('--format <format>', 'output format (INFRASAGE_FORMAT)', FORMATS))
    .option('--json', 'short for --format json')
    .option('--no-color', 'no colours (NO_COLOR)')
    .option('--ascii', 'draw with ASCII characters alone')
    .option('--quiet', 'no messages on standard error but errors')
    .option('--debug', 'print the stack and the cause of an error')
    // Descriptions of a few words a line are read better than lines that the terminal breaks.
    .configureHelp({ showGlobalOptions: true, minWidthToWrap: 24, subcommandTerm, visibleGlobalOptions })
    .showHelpAfterError('Run with --help for the options.')
    .configureOutput({ ...output, getOutHelpWidth: () => width?.() ?? 80 })
    .exitOverride();
  examples(program, [
    'infrasage ingest < events.ndjson',
    'infrasage usage --since 24h',
    'infrasage billing --month',
    'infrasage alerts add 80',
  ]);
  program.addHelpText('afterAll', ({ command }) => helpEnd(command, width?.()));
  for (const { name, summary, hidden = false } of COMMANDS)
    program
      .command(name, { hidden })
      .summary(summary)
      .description(`${sentence(summary)}.`);
  // commander's own help command would show a command whose file is not loaded.
  examples(
    program
      .helpCommand(false)
      .command('help [command...]')
      .summary('help of a command')
      .description('Help of a command.')
      .action(async (names: string[]) => {
        const unknown = names.length > 0 && !COMMANDS.some(({ name }) => name === names[0]);
        await program.parseAsync(unknown ? names : [...names, '--help'], { from: 'user' });
      }),
    ['infrasage help', 'infrasage help alerts add'],
  );
  const act = actOf(program);
  const loaded = new Set<Command>();
  const load: Load = async (command) => {
    const entry = COMMANDS.find((candidate) => candidate.name === command.name());
    if (!entry || command.parent !== program || loaded.has(command)) return;
    loaded.add(command);
    (await entry.load()).configure(command, act, load);
  };
  // A command's file is loaded when it is called, so that the others cost nothing.
  program.hook('preSubcommand', (_, command) => load(command));
  return { command: program, load };
}

/** A command in the list of them: its name and its arguments. That it has options is no news. */
function subcommandTerm(command: Command): string {
  return [command.name(), ...command.registeredArguments.map(argumentTerm)].join(' ');
}

/** Each with the choices that it has for this command. */
function visibleGlobalOptions(this: Help, command: Command): Option[] {
  return Help.prototype.visibleGlobalOptions
    .call(this, command)
    .map((option) =>
      option.argChoices ? oneOf(option.flags, option.description, choicesOf(option, command)) : option,
    );
}

function argumentTerm(argument: Argument): string {
  const name = argument.name() + (argument.variadic ? '...' : '');
  return argument.required ? `<${name}>` : `[${name}]`;
}

/** @param width of the terminal; what goes elsewhere is broken nowhere */
function helpEnd(command: Command, width = Number.POSITIVE_INFINITY): string {
  const lines = examplesOf(command).flatMap((line) => continued(line, width - 2).map((part) => `  ${part}`));
  const shown = lines.length === 0 ? '' : `\nExamples:\n${lines.join('\n')}`;
  return command.parent ? shown : `${shown}\n\n${wrapped(EXIT_STATUS, width).join('\n')}`;
}

/** What the exit status of every command says. */
export const EXIT_STATUS = 'Exit status: 0 fine; 1 a finding; 2 wrong usage; 3 it could not be done.';

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
