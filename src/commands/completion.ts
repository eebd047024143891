import { Argument } from 'commander';
import { SCRIPTS, SHELLS, type Shell } from '../completion/shells.ts';
import { EXIT } from '../errors.ts';
import { write } from '../io.ts';
import { type CommandModule, examples } from './command.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  command.addArgument(new Argument('<shell>', 'the shell that is to complete').choices(SHELLS));
  examples(command, [
    'source <(infrasage completion bash)',
    'infrasage completion zsh > ~/.zfunc/_infrasage',
    'infrasage completion fish > ~/.config/fish/completions/infrasage.fish',
  ]);
  act<object, [Shell]>(command, async ({ io }, _, shell) => {
    await write(io.stdout, SCRIPTS[shell]);
    return EXIT.ok;
  });
};
