import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { beforeAll, describe, expect, it } from 'vitest';
import { examplesOf } from '../src/commands/command.ts';
import { COMMANDS } from '../src/commands/index.ts';
import { buildProgram } from '../src/program.ts';
import { sandbox } from './helpers/cli.ts';
import { installed } from './helpers/installed.ts';

const PAGE = new URL('../man/infrasage.1', import.meta.url);

/** The whole program; what is called is kept, and nothing is done. */
async function program() {
  const called: string[] = [];
  const said: string[] = [];
  const output = {
    writeOut: (text: string) => void said.push(text),
    writeErr: (text: string) => void said.push(text),
    outputError: (text: string) => void said.push(text),
  };
  const built = buildProgram(output, () => (command) => {
    command.action(() => void called.push(nameOf(command)));
  });
  for (const command of built.command.commands) await built.load(command);
  return { ...built, called, said };
}

function nameOf(command: Command): string {
  return command.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name();
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

/** The words of an example after the program's name, that in `$(…)` or `<(…)` too; none where it calls another. */
function wordsOf(example: string): string[] | undefined {
  const line = /[$<]\(infrasage ([^)]*)\)/.exec(example)?.[1] ?? /^infrasage(?: (.*))?$/.exec(example)?.[1];
  if (line === undefined) return undefined;
  const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
  const redirected = words.findIndex((word) => /^[<>|]$/.test(word));
  return redirected < 0 ? words : words.slice(0, redirected);
}

describe('every command', () => {
  let commands: Command[];
  let whole: Awaited<ReturnType<typeof program>>;
  beforeAll(async () => {
    whole = await program();
    commands = everyCommand(whole.command);
  });

  it('is there', () => {
    expect(commands.length).toBeGreaterThan(35);
    expect(whole.command.commands.map((command) => command.name())).toEqual([
      ...COMMANDS.map(({ name }) => name),
      'help',
    ]);
  });

  it('says what it does, and every option and argument what it is', () => {
    for (const command of commands) {
      expect(command.description(), nameOf(command)).toMatch(/^[A-Z].*[.]$/s);
      for (const { description, flags } of command.options) expect(description, flags).not.toBe('');
      // Words of the program's own language are no default.
      for (const { defaultValue, flags } of command.options)
        expect(['string', 'boolean', 'undefined'], flags).toContain(typeof defaultValue);
    }
  });

  it('has an example, which it takes as it stands', async () => {
    for (const command of commands) {
      const name = nameOf(command);
      const examples = examplesOf(command);
      expect(examples.length, `${name} has no example`).toBeGreaterThan(0);
      // Nothing of one run is left for the next.
      const { command: fresh, called, said } = await program();
      for (const example of examples) {
        const words = wordsOf(example);
        if (!words) continue;
        await fresh.parseAsync(words, { from: 'user' }).catch(() => undefined);
        if (words[0] === 'help') continue;
        expect(called.at(-1) ?? said.join(''), words.join(' ')).toMatch(/^infrasage /);
        if (command.commands.length === 0) expect(called.at(-1)).toBe(name);
      }
    }
  });

  it('prints them in its help', async () => {
    const box = sandbox();
    try {
      const { stdout } = await box.run(['alerts', 'test', '--help']);
      expect(stdout).toContain('\nExamples:\n  infrasage alerts test 95 --tenant acme-corp\n');
      expect(stdout).not.toContain('alerts add');
      expect((await box.run(['alerts', '--help'])).stdout).toContain('infrasage alerts add 80');
      expect((await box.run(['--help'])).stdout).not.toContain('__complete');
    } finally {
      await box.remove();
    }
  });
});

describe('the man page', () => {
  it('is up to date: npm run man', async () => {
    const { manPage } = await import('../tools/man.js');
    expect(readFileSync(PAGE, 'utf8')).toBe(await manPage());
  });

  it('names every command', async () => {
    const page = readFileSync(PAGE, 'utf8');
    for (const { name, hidden } of COMMANDS) {
      if (hidden) expect(page).not.toContain(name);
      else expect(page).toMatch(new RegExp(`^\\.SS ${name}( |$)`, 'm'));
    }
  });

  it.runIf(installed('groff'))('is read by groff without a word', () => {
    const { status, stdout, stderr } = spawnSync('groff', ['-man', '-Tutf8', '-ww', fileURLToPath(PAGE)], {
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('infrasage usage --since 24h');
  });

  it.runIf(installed('mandoc'))('is read by mandoc without a warning', () => {
    const lint = spawnSync('mandoc', ['-man', '-T', 'lint', '-W', 'warning', fileURLToPath(PAGE)], {
      encoding: 'utf8',
    });
    expect(lint.stdout + lint.stderr).toBe('');
  });
});
