import type { Io } from '../io.ts';
import { isUnknownVariable, type ReadFile, readConfigFile, readDotEnv } from './files.ts';
import { allSettings, hasSecret, shownValue } from './table.ts';

/** Where a setting was found, as it is said: a variable's name, or a file and line. */
export interface Found {
  value: string;
  source: string;
  /** Whether a file says it that was read because it lies in the working directory. */
  isLaid: boolean;
}

/** What the files and the environment say, before flags and defaults. */
export interface Settings {
  /** Environment over .env over config file, under the names of the variables: what the program reads. */
  env: Io['env'];
  /** The environment as it was, without the files: for what reads the settings of another line. */
  given: Io['env'];
  /** By variable, where it comes from; those that are not set are not in it. */
  found: ReadonlyMap<string, Found>;
  /** Files that were read. */
  files: readonly string[];
  /** Files with secrets in them that others can read. */
  exposed: readonly string[];
  /** Variables in .env and the environment that look like settings and are none; place: `.env:3`, where it is a file. */
  unknown: readonly { name: string; place?: string }[];
}

/**
 * Reads the settings of the environment, of .env in the working directory, and of the config file; the first has
 * precedence. A variable that is set to nothing is as one that is not set anywhere.
 * @param from.configFile a config file to read instead of those where it usually is
 * @throws InfrasageError (exit 2) that names the file and line of what is wrong
 */
export async function readSettings(
  env: Io['env'],
  { folder, configFile }: { folder: string; configFile: string | undefined },
): Promise<Settings> {
  const config = await readConfigFile(env, {
    folder,
    given: configFile || env.INFRASAGE_CONFIG || undefined,
  });
  const dotEnv = readDotEnv(folder);
  const found = new Map<string, Found>();
  const merged: Record<string, string | undefined> = {};
  for (const file of [config, dotEnv]) {
    for (const [variable, { value, line }] of file?.values ?? []) {
      merged[variable] = value;
      found.set(variable, { value, source: `${file?.path}:${line}`, isLaid: file?.isLaid ?? false });
    }
  }
  for (const { variable } of allSettings()) {
    const value = env[variable];
    if (value !== undefined) found.set(variable, { value, source: variable, isLaid: false });
  }
  const files = [config, dotEnv].filter((file) => file !== undefined);
  return {
    env: { ...merged, ...env },
    given: env,
    found,
    files: files.map(({ path }) => path),
    exposed: files.filter(isExposed).map(({ path }) => path),
    unknown: [
      ...files.flatMap(({ path, unknown }) =>
        unknown.map(({ name, line }) => ({ name, place: `${path}:${line}` })),
      ),
      ...Object.keys(env)
        .filter(isUnknownVariable)
        .map((name) => ({ name })),
    ],
  };
}

/** The settings of an environment alone. */
export function settingsOf(env: Io['env']): Settings {
  return { env, given: env, found: new Map(), files: [], exposed: [], unknown: [] };
}

/** A setting in force, safe to show. */
export interface ShownSetting {
  name: string;
  value: string;
  /** A flag, a variable, a file and line, or `default`. */
  source: string;
}

/**
 * The settings that are in force, with their sources; those that are not set and have no default are left out.
 * @param flags values of flags by their names, such as `--database`
 * @param defaults by name
 */
export function shownSettings(
  { found }: Settings,
  { flags, defaults }: { flags: ReadonlyMap<string, string>; defaults: Readonly<Record<string, string>> },
): ShownSetting[] {
  return allSettings().flatMap((setting) => {
    const { name, flag, variable } = setting;
    const given = flag === undefined ? undefined : flags.get(flag);
    const set = found.get(variable);
    const byDefault = defaults[name];
    const [value, source] =
      given !== undefined
        ? [given, flag]
        : set && set.value !== ''
          ? [set.value, set.source]
          : [byDefault, 'default'];
    return value === undefined ? [] : [{ name, value: shownValue(setting, value), source: String(source) }];
  });
}

function isExposed({ values, isReadByOthers }: ReadFile): boolean {
  return (
    isReadByOthers &&
    allSettings().some((setting) => hasSecret(setting, values.get(setting.variable)?.value ?? ''))
  );
}

/** The variable of a setting that a name is nearest to. */
export async function nearestVariable(name: string): Promise<string> {
  const { closest } = await import('fastest-levenshtein');
  return closest(
    name,
    allSettings().map(({ variable }) => variable),
  );
}
