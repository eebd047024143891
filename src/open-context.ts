import { type GlobalFlags, readConfig } from './config.ts';
import { Context, type Run } from './context.ts';
import { InfrasageError } from './errors.ts';
import type { Io } from './io.ts';
import { readSettings, settingsOf } from './settings/layers.ts';
import { shellWord } from './settings/place.ts';

/**
 * Reads the settings of a run.
 * @param run.brokenSettings whether wrong settings of the environment or a file are kept in context.fault, and the
 *   run goes on with the flags alone
 * @throws InfrasageError (exit 2) that names the flag, variable or line whose value is wrong
 */
export async function openContext(
  flags: GlobalFlags,
  io: Io,
  { brokenSettings, ...run }: Run & { brokenSettings: boolean },
): Promise<Context> {
  try {
    const settings = await readSettings(io.env, { folder: process.cwd(), configFile: flags.config });
    const known = { ...io, env: settings.env };
    const context = new Context(readConfig(flags, known), known, { ...run, flags, settings });
    for (const path of settings.exposed) {
      if (!brokenSettings)
        await context.say(`${path} has secrets in it and others can read it: chmod 600 ${shellWord(path)}`);
    }
    return context;
  } catch (fault) {
    if (!brokenSettings || !(fault instanceof InfrasageError)) throw fault;
    const { HOME, XDG_DATA_HOME, NO_COLOR, TERM, npm_command } = io.env;
    const bare = { ...io, env: { HOME, XDG_DATA_HOME, NO_COLOR, TERM, npm_command } };
    const config = readConfig(flags, bare);
    return new Context(config, bare, { ...run, flags, settings: settingsOf(bare.env), fault });
  }
}
