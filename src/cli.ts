import { Command, CommanderError } from 'commander';
import type { Act, Handler } from './commands/command.ts';
import { COMMANDS } from './commands/index.ts';
import type { GlobalFlags } from './config.ts';
import { EXIT, type ExitStatus, InfrasageError } from './errors.ts';
import { type Io, processIo, write } from './io.ts';
import { FORMATS } from './render/format.ts';
import { printable } from './render/text.ts';
import { programVersion } from './version.ts';

/**
 * Runs the program with the arguments after its name. Never throws: failures
 * are said on standard error, in one place, and become the exit status.
 */
export async function run(argv: readonly string[], io: Io = processIo()): Promise<ExitStatus> {
  keepStreamErrors(io);
  const outcome: { status: ExitStatus } = { status: EXIT.ok };
  const program = buildProgram(io, outcome);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return outcome.status;
  } catch (error) {
    // Help, version and wrong usage: commander has said all there is to say.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    await explainFailure(error, io, argv.includes('--debug'));
    return error instanceof InfrasageError ? error.exitStatus : EXIT.failure;
  }
}

function buildProgram(io: Io, outcome: { status: ExitStatus }): Command {
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
    .option('--format <format>', `output format: ${FORMATS.join(', ')}`)
    .option('--json', 'short for --format json')
    .option('--no-color', 'no colours (NO_COLOR)')
    .option('--quiet', 'no messages on standard error but errors')
    .option('--debug', 'print the stack and the cause of an error')
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('Run with --help for the options.')
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: (text, print) => print(`${inert(text.replace(/^error:/, 'infrasage:'))}\n`),
    })
    .exitOverride();
  program.addHelpText(
    'after',
    `
Examples:
  infrasage ingest < events.ndjson
  infrasage usage --since 24h
  infrasage billing --month
  infrasage alerts add 80

Exit status: 0 fine; 1 a finding; 2 wrong usage; 3 it could not be done.`,
  );
  const act: Act = <Options, Arguments extends unknown[]>(
    command: Command,
    handler: Handler<Options, Arguments>,
  ) => {
    command.action(async (...received: unknown[]) => {
      // commander hands over the arguments, then the options, then the command
      const args = received.slice(0, -2) as Arguments;
      // Loaded here, not above: help and version need none of it, and start in half the time.
      const [{ readConfig }, { Context }] = await Promise.all([
        import('./config.ts'),
        import('./context.ts'),
      ]);
      const config = readConfig(program.opts<GlobalFlags>(), io);
      const context = new Context(config, io, { command: nameOf(command), runCommand: run });
      try {
        outcome.status = await handler(context, command.opts() as Options, ...args);
      } finally {
        await context.close();
      }
    });
  };
  for (const { name, summary } of COMMANDS)
    program
      .command(name)
      .summary(summary)
      .description(`${sentence(summary)}.`);
  // commander's own help command would show a command whose file is not loaded.
  program
    .helpCommand(false)
    .command('help [command...]')
    .summary('help of a command')
    .action(async (names: string[]) => {
      const unknown = names.length > 0 && !COMMANDS.some(({ name }) => name === names[0]);
      await program.parseAsync(unknown ? names : [...names, '--help'], { from: 'user' });
    });
  // A command's file is loaded when it is called, so that the others cost nothing.
  program.hook('preSubcommand', async (_, command) => {
    const entry = COMMANDS.find((candidate) => candidate.name === command.name());
    if (entry && command.parent === program) (await entry.load()).configure(command, act);
  });
  return program;
}

/** `alerts add`, without the program's name. */
function nameOf(command: Command): string {
  const parent = command.parent;
  return parent?.parent ? `${nameOf(parent)} ${command.name()}` : command.name();
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** One line: what happened, what was kept, what to do next. The stack only where it was asked for. */
async function explainFailure(error: unknown, io: Io, debug: boolean): Promise<void> {
  const { Chalk } = await import('chalk');
  const chalk = new Chalk({ level: io.stderr.isTTY && !io.env.NO_COLOR ? 1 : 0 });
  const known = error instanceof InfrasageError;
  const parts = known
    ? [error.message, error.kept, error.hint]
    : [
        `an unexpected error: ${error instanceof Error ? error.message : String(error)}`,
        '',
        'run again with --debug for the details',
      ];
  const line = parts.filter(Boolean).map(printable).join('; ');
  await write(io.stderr, `${chalk.red('infrasage:')} ${line}\n`);
  if (!debug) return;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    await write(io.stderr, `${inert(cause.stack ?? cause.message)}\n`);
  }
}

/** Text of several lines, safe to print. */
function inert(text: string): string {
  return text.trimEnd().split('\n').map(printable).join('\n');
}

/**
 * Keeps a failed stream from ending the process on its own: what failed to be written is told to write(),
 * which passes over a reader that has gone away (`infrasage usage | head`) and throws on all else.
 */
function keepStreamErrors({ stdout, stderr }: Io): void {
  for (const stream of [stdout, stderr]) {
    if (stream.listeners('error').some((listener) => listener === told)) continue;
    stream.on('error', told);
  }
}

function told(): void {}
