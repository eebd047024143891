// Writes man/infrasage.1 from the program's own commands, options, examples and settings: npm run man.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { examplesOf } from '../dist/commands/command.js';
import { COMMANDS } from '../dist/commands/index.js';
import { programVersion } from '../dist/package.js';
import { buildProgram, EXIT_STATUS } from '../dist/program.js';
import { allSettings } from '../dist/settings/table.js';

/** When what the page is made of was last gone through; commands change it by themselves. */
const DATE = '2026-11-26';

/** The program with the files of all its commands loaded, and nothing that runs them. */
async function wholeProgram() {
  const silent = { writeOut() {}, writeErr() {}, outputError() {} };
  const { command: program, load } = buildProgram(silent, () => () => {});
  for (const command of program.commands) await load(command);
  return program;
}

/** Text as roff has it: no character of it is an order. */
function text(words) {
  return words
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(['.])/gm, '\\&$1');
}

function options(of) {
  return of
    .filter(({ hidden }) => !hidden)
    .flatMap(({ flags, description, defaultValue, argChoices }) => {
      const shown =
        defaultValue === undefined || typeof defaultValue === 'boolean' || Array.isArray(defaultValue)
          ? ''
          : ` Default: ${defaultValue}.`;
      const choices = argChoices ? ` One of ${argChoices.join(', ')}.` : '';
      const end = choices || shown ? '.' : '';
      return ['.TP', `.B ${text(flags)}`, text(`${description}${end}${choices}${shown}`)];
    });
}

function exampleLines(command) {
  const lines = examplesOf(command);
  return lines.length === 0 ? [] : ['.PP', '.EX', ...lines.map(text), '.EE'];
}

function section(command, name) {
  const { visibleCommands } = command.createHelp();
  const subcommands = visibleCommands.call(command.createHelp(), command);
  const usage = [name, command.usage()].join(' ').replace('[options] ', '').replace('[options]', '').trim();
  return [
    `.SS ${text(usage)}`,
    text(command.description()),
    ...options(command.options),
    // A command with subcommands shows its examples with them.
    ...(subcommands.length === 0 ? exampleLines(command) : []),
    ...subcommands.flatMap((one) => section(one, `${name} ${one.name()}`)),
  ];
}

/** The whole page. */
export async function manPage() {
  const program = await wholeProgram();
  const hidden = new Set(COMMANDS.filter((entry) => entry.hidden).map(({ name }) => name));
  const commands = program.commands.filter((command) => !hidden.has(command.name()));
  return `${[
    '.\\" Made by npm run man. Changes go into the commands themselves.',
    `.TH INFRASAGE 1 ${DATE} "infrasage ${programVersion()}" "User Commands"`,
    '.SH NAME',
    'infrasage \\- meter telemetry usage on ClickHouse',
    '.SH SYNOPSIS',
    '.B infrasage',
    '.RI [ options ]',
    '.I command',
    '.RI [ arguments ]',
    '.SH DESCRIPTION',
    text(program.description()),
    '.SH OPTIONS',
    'These go with every command.',
    ...options(program.options),
    '.SH COMMANDS',
    ...commands.flatMap((command) => section(command, command.name())),
    '.SH FILES',
    '.TP',
    `.B ${text('infrasage.config.yaml, infrasage.config.json')}`,
    'Settings, in the working directory; else',
    `.B ${text('config.yaml')}`,
    'or',
    `.B ${text('config.json')}`,
    `in ${text('$XDG_CONFIG_HOME/infrasage')}, by default ${text('~/.config/infrasage')}.`,
    '.TP',
    `.B ${text('.env')}`,
    'Variables, in the working directory.',
    '.PP',
    text('Flags go over the environment, that over .env, that over the config file.'),
    '.SH ENVIRONMENT',
    ...allSettings().flatMap(({ name, variable, what }) => [
      '.TP',
      `.BR ${text(variable)} " (" ${text(name)} )`,
      text(`${what}.`),
    ]),
    '.TP',
    '.B INFRASAGE_CONFIG',
    'Config file to read instead.',
    '.SH EXIT STATUS',
    text(EXIT_STATUS.replace('Exit status: ', '')),
    '.SH EXAMPLES',
    '.EX',
    ...examplesOf(program).map(text),
    '.EE',
  ].join('\n')}\n`;
}

const PATH = fileURLToPath(new URL('../man/infrasage.1', import.meta.url));
if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(PATH, await manPage());
