import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { InfrasageError, usageError } from './errors.ts';
import type { Io } from './io.ts';
import { FORMATS } from './render/format.ts';

const identifier = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, 'must be letters, digits and underscores, and start with no digit');

/** A tenant as an operator may name it: the contract's rule for tenant_id. */
export const tenantId = z
  .string()
  .refine(
    (s) => s !== '' && [...s].length <= 128 && !/\p{Cc}/u.test(s),
    'must be 1 to 128 characters, none of them control characters',
  );

const globalOptions = z.object({
  dataDir: z.string().min(1, 'must not be empty'),
  database: identifier,
  tenant: tenantId.optional(),
  format: z.enum(FORMATS),
  color: z.boolean(),
  quiet: z.boolean(),
  debug: z.boolean(),
});

/** The settings of one run, checked: flags over environment over defaults. */
export type Config = z.infer<typeof globalOptions>;

/** Values of the global flags, as the command line parser leaves them. */
export interface GlobalFlags {
  dataDir?: string;
  database?: string;
  tenant?: string;
  format?: string;
  json?: boolean;
  color?: boolean;
  quiet?: boolean;
  debug?: boolean;
}

/** Where each setting may come from beside its flag, for messages. */
const SOURCES: Record<string, string> = {
  dataDir: '--data-dir or INFRASAGE_DATA_DIR',
  database: '--database or INFRASAGE_DATABASE',
  tenant: '--tenant or INFRASAGE_TENANT',
  format: '--format',
};

/**
 * Settings from flags, then environment, then defaults.
 * @throws InfrasageError (exit 2) that names the flag or variable whose value is wrong
 */
export function readConfig(flags: GlobalFlags, io: Pick<Io, 'env' | 'stdout'>): Config {
  const { env } = io;
  if (flags.json && flags.format && flags.format !== 'json') {
    throw usageError(`--json and --format ${flags.format} contradict each other`, 'give one of them');
  }
  const parsed = globalOptions.safeParse({
    dataDir: flags.dataDir ?? (env.INFRASAGE_DATA_DIR || defaultDataDir(env)),
    database: flags.database ?? (env.INFRASAGE_DATABASE || 'infrasage'),
    tenant: flags.tenant ?? (env.INFRASAGE_TENANT || undefined),
    format: flags.json ? 'json' : (flags.format ?? 'table'),
    color: flags.color !== false && !env.NO_COLOR && env.TERM !== 'dumb' && io.stdout.isTTY === true,
    quiet: flags.quiet ?? false,
    debug: flags.debug ?? false,
  });
  if (parsed.success) return { ...parsed.data, dataDir: resolve(parsed.data.dataDir) };
  const issue = parsed.error.issues[0];
  const name = String(issue?.path[0] ?? '');
  const allowed = name === 'format' ? `must be one of ${FORMATS.join(', ')}` : issue?.message;
  throw usageError(`${SOURCES[name] ?? name} ${allowed}`);
}

function defaultDataDir(env: Io['env']): string {
  if (env.XDG_DATA_HOME) return join(env.XDG_DATA_HOME, 'infrasage');
  const home = env.HOME || homedir();
  if (!home)
    throw new InfrasageError('there is no home directory to keep data in', { hint: 'give --data-dir DIR' });
  return join(home, '.local', 'share', 'infrasage');
}
