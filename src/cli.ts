import { type Command, CommanderError } from 'commander';
import { type Act, type ActOptions, type Handler, nameOf } from './commands/command.ts';
import { COMMANDS } from './commands/index.ts';
import type { GlobalFlags } from './config.ts';
import { EXIT, type ExitStatus, InfrasageError, usageError } from './errors.ts';
import { type Io, processIo, write } from './io.ts';
import { buildProgram } from './program.ts';
import { ALL_FORMATS, FORMATS, type Format, formatsOf, isOwnFormat, OWN_FORMATS } from './render/format.ts';
import { message } from './render/message.ts';
import { printable } from './render/text.ts';

/**
 * Runs the program with the arguments after its name. Never throws: failures
 * are said on standard error, in one place, and become the exit status.
 * @param options.hints whether what is printed names commands to run next; by default it does
 */
export async function run(
  argv: readonly string[],
  io: Io = processIo(),
  { hints = true }: { hints?: boolean } = {},
): Promise<ExitStatus> {
  keepStreamErrors(io);
  const outcome: { status: ExitStatus } = { status: EXIT.ok };
  const { command: program } = buildProgram(
    {
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      width: () => (io.stdout.isTTY ? io.stdout.columns : undefined),
      outputError: (text, print) => print(`${inert(text.replace(/^error:/, 'infrasage:'))}\n`),
    },
    (root) => actOn(io, outcome, { program: root, hints }),
  );
  try {
    await program.parseAsync(argv, { from: 'user' });
    return outcome.status;
  } catch (error) {
    // Help, version and wrong usage: commander has said all there is to say.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    await explainFailure(error, io, { debug: argv.includes('--debug'), place: program.opts<GlobalFlags>() });
    return error instanceof InfrasageError ? error.exitStatus : EXIT.failure;
  }
}

/** Runs a command's handler with what it works with, and keeps its status. */
function actOn(
  io: Io,
  outcome: { status: ExitStatus },
  { program, hints }: { program: Command; hints: boolean },
): Act {
  return <Options, Arguments extends unknown[]>(
    command: Command,
    handler: Handler<Options, Arguments>,
    { brokenSettings = false }: ActOptions = {},
  ) => {
    command.action(async (...received: unknown[]) => {
      // commander hands over the arguments, then the options, then the command
      const args = received.slice(0, -2) as Arguments;
      const flags = program.opts<GlobalFlags>();
      refuseUnknownFormat(nameOf(command), flags.format);
      // Loaded here, not above: help and version need none of it, and start in half the time.
      const { openContext } = await import('./open-context.ts');
      const context = await openContext(flags, io, {
        command: nameOf(command),
        commands: NAMES,
        runCommand: run,
        hints,
        brokenSettings,
      });
      try {
        refuseFormat(nameOf(command), context.config.format);
        outcome.status = await handler(context, command.opts() as Options, ...args);
      } finally {
        await context.close();
      }
    });
  };
}

/**
 * Refuses what is a format of no command, and says which this one has.
 * @throws InfrasageError (exit 2)
 */
function refuseUnknownFormat(name: string, given: string | undefined): void {
  if (given === undefined || (ALL_FORMATS as readonly string[]).includes(given)) return;
  throw usageError(`--format ${given} is not a format; use one of ${formatsOf(name).join(', ')}`);
}

/**
 * Refuses a format that another command has.
 * @throws InfrasageError (exit 2)
 */
function refuseFormat(name: string, format: Format): void {
  if (!isOwnFormat(format) || formatsOf(name).includes(format)) return;
  throw usageError(
    `${name} does not print ${format}`,
    `infrasage ${OWN_FORMATS[format]} does; the formats of every command are ${FORMATS.join(', ')}`,
  );
}

const NAMES = COMMANDS.map(({ name }) => name);

/** One line: what happened, what was kept, what to do next. The stack only where it was asked for. */
async function explainFailure(
  error: unknown,
  io: Io,
  { debug, place }: { debug: boolean; place: GlobalFlags },
): Promise<void> {
  const { calledAs, hintFor } = await import('./settings/place.ts');
  const { Chalk } = await import('chalk');
  const chalk = new Chalk({ level: io.stderr.isTTY && !io.env.NO_COLOR ? 1 : 0 });
  const known = error instanceof InfrasageError;
  const parts = known
    ? [error.message, error.kept, hintFor(error.hint, NAMES, { ...place, program: calledAs(io.env) })]
    : [
        `an unexpected error: ${error instanceof Error ? error.message : String(error)}`,
        '',
        'run again with --debug for the details',
      ];
  const line = parts.filter(Boolean).map(printable).join('; ');
  await write(io.stderr, await message(io.stderr, `${chalk.red('infrasage:')} ${line}`));
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
