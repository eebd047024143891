import { Argument } from 'commander';
import { candidates } from '../completion/candidates.ts';
import { answerTo, SHELLS, type Shell, wordsOf } from '../completion/shells.ts';
import type { GlobalFlags } from '../config.ts';
import { EXIT } from '../errors.ts';
import { write } from '../io.ts';
import { type CommandModule, choicesOf, examples } from './command.ts';

export const configure: CommandModule['configure'] = (command, act, load) => {
  command
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .argument('[words...]', 'what the shell hands over: see completion/shells.ts');
  examples(command, ['infrasage __complete zsh -- usage --by ""']);
  act<object, [Shell, string[]]>(
    command,
    async ({ io, settings }, _, shell, handed) => {
      const program = command.parent;
      if (!program) throw new Error('it is no command of its own');
      const found = await candidates(program, wordsOf(shell, handed), {
        load,
        choices: choicesOf,
        tenants: async (prefix, { options }) => {
          const { tenantNames } = await import('../completion/tenants.ts');
          return tenantNames(prefix, options as GlobalFlags, { ...io, env: settings.given });
        },
      });
      await write(io.stdout, answerTo(shell, found, handed));
      return EXIT.ok;
    },
    { brokenSettings: true },
  );
};
