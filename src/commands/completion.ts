import { Argument } from 'commander';
import { SCRIPTS, SHELLS, type Shell } from '../completion/shells.ts';
import { EXIT, usageError } from '../errors.ts';
import { write } from '../io.ts';
import { type CommandModule, examples } from './command.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  const shells = new Argument('<shell>', 'the shell that is to complete');
  shells.argChoices = [...SHELLS];
  command.addArgument(shells);
  examples(command, [
    'source <(infrasage completion bash)',
    'infrasage completion zsh > ~/.zfunc/_infrasage',
    'infrasage completion fish > ~/.config/fish/completions/infrasage.fish',
  ]);
  act<object, [string]>(command, async ({ io }, _, given) => {
    const shell = SHELLS.find((name): name is Shell => name === given);
    if (!shell) throw usageError(`there is no completion for ${given}`, `use one of ${SHELLS.join(', ')}`);
    await write(io.stdout, SCRIPTS[shell]);
    return EXIT.ok;
  });
};
