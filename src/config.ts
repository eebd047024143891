import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { InfrasageError, usageError } from './errors.ts';
import type { Io } from './io.ts';
import { showsUnicode } from './render/glyphs.ts';
import { excerpt } from './render/text.ts';
import { SETTINGS } from './settings/table.ts';

const clickhouseOptions = z.object({
  url: SETTINGS['clickhouse.url'].value,
  user: SETTINGS['clickhouse.user'].value.optional(),
  password: SETTINGS['clickhouse.password'].value.optional(),
  caFile: SETTINGS['clickhouse.ca_file'].value.optional(),
  retryFor: SETTINGS['clickhouse.retry_for'].value,
});

/** A ClickHouse server, and how it is reached. */
export interface ServerAddress {
  /** Without user and password: may be said. */
  url: URL;
  user: string;
  /** Never to be said. */
  password: string;
  /** File of certificates to trust beside the system's, PEM. */
  caFile: string | undefined;
  /** How long what may pass is tried again, ms: no connection, an overloaded server. */
  retryForMs: number;
}

const globalOptions = z.object({
  dataDir: SETTINGS.data_dir.value,
  database: SETTINGS.database.value,
  tenant: SETTINGS.tenant.value.optional(),
  format: SETTINGS.format.value,
  color: z.boolean(),
  unicode: z.boolean(),
  quiet: z.boolean(),
  debug: z.boolean(),
});

/** The settings of one run, checked: flags over environment and files (see settings/layers.ts) over defaults. */
export type Config = z.infer<typeof globalOptions> & {
  /** The server that has the data; undefined for the embedded engine. */
  clickhouse: ServerAddress | undefined;
};

/** Values of the global flags, as the command line parser leaves them. */
export interface GlobalFlags {
  clickhouse?: string;
  retryFor?: string;
  dataDir?: string;
  database?: string;
  tenant?: string;
  format?: string;
  json?: boolean;
  config?: string;
  color?: boolean;
  ascii?: boolean;
  quiet?: boolean;
  debug?: boolean;
}

/** What is in force where nothing is said, by the names of the settings. */
export const DEFAULTS = {
  database: 'infrasage',
  format: 'table',
  'clickhouse.user': 'default',
  'clickhouse.retry_for': '60s',
  'serve.host': '127.0.0.1',
  'serve.port': '8080',
  'serve.rate_limit': '12000',
  'serve.log_level': 'info',
} as const;

/**
 * Settings from flags, then what the environment and the files say (see settings/layers.ts), then defaults.
 * @throws InfrasageError (exit 2) that names the flag or variable whose value is wrong
 */
export function readConfig(flags: GlobalFlags, io: Pick<Io, 'env' | 'stdout'>): Config {
  const { env } = io;
  if (flags.json && flags.format && flags.format !== 'json') {
    throw usageError(`--json and --format ${flags.format} contradict each other`, 'give one of them');
  }
  const settings = parseSettings(
    globalOptions,
    {
      dataDir: flags.dataDir ?? (env.INFRASAGE_DATA_DIR || defaultDataDir(env)),
      database: flags.database ?? (env.INFRASAGE_DATABASE || DEFAULTS.database),
      tenant: flags.tenant ?? (env.INFRASAGE_TENANT || undefined),
      format: flags.json ? 'json' : (flags.format ?? (env.INFRASAGE_FORMAT || DEFAULTS.format)),
      color: flags.color !== false && !env.NO_COLOR && env.TERM !== 'dumb' && io.stdout.isTTY === true,
      unicode: !flags.ascii && showsUnicode(env),
      quiet: flags.quiet ?? false,
      debug: flags.debug ?? false,
    },
    {
      dataDir: '--data-dir or INFRASAGE_DATA_DIR',
      database: '--database or INFRASAGE_DATABASE',
      tenant: '--tenant or INFRASAGE_TENANT',
      format: '--format or INFRASAGE_FORMAT',
    },
  );
  const clickhouse = readServerAddress(flags, env);
  return { ...settings, dataDir: resolve(settings.dataDir), clickhouse };
}

/**
 * The server to work with, if one is named. No message holds the password.
 * @throws InfrasageError (exit 2) that names the flag or variable whose value is wrong
 */
function readServerAddress(flags: GlobalFlags, env: Io['env']): ServerAddress | undefined {
  const given = flags.clickhouse ?? (env.INFRASAGE_CLICKHOUSE_URL || undefined);
  if (given === undefined) return undefined;
  const { url, user, password, caFile, retryFor } = parseSettings(
    clickhouseOptions,
    {
      url: given,
      user: env.INFRASAGE_CLICKHOUSE_USER || undefined,
      password: env.INFRASAGE_CLICKHOUSE_PASSWORD || undefined,
      caFile: env.INFRASAGE_CLICKHOUSE_CA_FILE || undefined,
      retryFor: flags.retryFor ?? (env.INFRASAGE_RETRY_FOR || DEFAULTS['clickhouse.retry_for']),
    },
    {
      url: '--clickhouse or INFRASAGE_CLICKHOUSE_URL',
      user: 'INFRASAGE_CLICKHOUSE_USER',
      password: 'INFRASAGE_CLICKHOUSE_PASSWORD',
      caFile: 'INFRASAGE_CLICKHOUSE_CA_FILE',
      retryFor: '--retry-for or INFRASAGE_RETRY_FOR',
    },
  );
  const bare = new URL(url);
  bare.username = '';
  bare.password = '';
  return {
    url: bare,
    user: percentDecoded(url.username) || user || DEFAULTS['clickhouse.user'],
    password: percentDecoded(url.password) || password || '',
    caFile: caFile === undefined ? undefined : resolve(caFile),
    retryForMs: retryFor,
  };
}

/** The variables that name a server, for another run of this program; for the embedded engine, none is named. */
export function serverVariables(address: ServerAddress | undefined): Record<string, string> {
  if (!address) return { INFRASAGE_CLICKHOUSE_URL: '' };
  return {
    INFRASAGE_CLICKHOUSE_URL: address.url.href,
    INFRASAGE_CLICKHOUSE_USER: address.user,
    INFRASAGE_CLICKHOUSE_PASSWORD: address.password,
    INFRASAGE_RETRY_FOR: `${Math.ceil(address.retryForMs / 1000)}s`,
  };
}

/** A part of a URL as it was meant; what is no percent encoding was meant as it is. */
function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const tokenOptions = z.object({
  secret: SETTINGS['jwt.secret'].value.optional(),
  jwksUrl: SETTINGS['jwt.jwks_url'].value.optional(),
  publicKeyFile: SETTINGS['jwt.public_key_file'].value.optional(),
  audience: SETTINGS['jwt.audience'].value.optional(),
  issuer: SETTINGS['jwt.issuer'].value.optional(),
});

/** With what tokens are verified: one kind of key, and the audience and issuer they must name, if any. */
export interface TokenSettings {
  key: { kind: 'secret'; secret: string } | { kind: 'jwks'; url: string } | { kind: 'file'; path: string };
  audience: string | undefined;
  issuer: string | undefined;
}

const TOKEN_SOURCES: Record<keyof z.infer<typeof tokenOptions>, string> = {
  secret: 'INFRASAGE_JWT_SECRET',
  jwksUrl: 'INFRASAGE_JWKS_URL',
  publicKeyFile: 'INFRASAGE_JWT_PUBLIC_KEY_FILE',
  audience: 'INFRASAGE_JWT_AUDIENCE',
  issuer: 'INFRASAGE_JWT_ISSUER',
};

/**
 * The settings of tokens, from the environment. No message holds a secret.
 * @param use what they are for: with a shared secret alone, tokens can be made too
 * @throws InfrasageError (exit 2) where none or more than one kind of key is set, or a value is wrong
 */
export function readTokenSettings(env: Io['env'], use: 'verify' | 'sign' = 'verify'): TokenSettings {
  const given = Object.entries(TOKEN_SOURCES).map(([name, variable]) => [name, env[variable] || undefined]);
  const { secret, jwksUrl, publicKeyFile, audience, issuer } = parseSettings(
    tokenOptions,
    Object.fromEntries(given),
    TOKEN_SOURCES,
  );
  const keys: TokenSettings['key'][] = [
    ...(secret === undefined ? [] : [{ kind: 'secret', secret } as const]),
    ...(jwksUrl === undefined ? [] : [{ kind: 'jwks', url: jwksUrl } as const]),
    ...(publicKeyFile === undefined ? [] : [{ kind: 'file', path: resolve(publicKeyFile) } as const]),
  ];
  const [key, second] = keys;
  const names = 'INFRASAGE_JWT_SECRET, INFRASAGE_JWKS_URL or INFRASAGE_JWT_PUBLIC_KEY_FILE';
  if (!key && use === 'sign') {
    throw usageError(
      'there is nothing to sign a token with: set INFRASAGE_JWT_SECRET to the secret that infrasage serve was started with',
      'run this in the terminal of serve, or keep the secret in .env (chmod 600), which both read in this folder',
    );
  }
  if (!key) {
    throw usageError(
      `there is nothing to verify tokens with: set ${names}`,
      'export INFRASAGE_JWT_SECRET="$(openssl rand -hex 32)"',
    );
  }
  if (second) throw usageError(`only one of ${names} can be set`);
  return { key, audience, issuer };
}

const serverOptions = z.object({
  host: SETTINGS['serve.host'].value,
  port: SETTINGS['serve.port'].value,
  rateLimit: SETTINGS['serve.rate_limit'].value,
  logLevel: SETTINGS['serve.log_level'].value,
});

/** The settings of `serve`. */
export type ServerSettings = z.infer<typeof serverOptions> & { tokens: TokenSettings };

/**
 * Settings of the server: flags over environment over defaults.
 * @throws InfrasageError (exit 2) that names the flag or variable whose value is wrong
 */
export function readServerSettings(
  flags: { host?: string; port?: string },
  env: Io['env'],
  { quiet, debug }: Pick<Config, 'quiet' | 'debug'>,
): ServerSettings {
  const settings = parseSettings(
    serverOptions,
    {
      host: flags.host ?? (env.INFRASAGE_HOST || DEFAULTS['serve.host']),
      port: flags.port ?? (env.INFRASAGE_PORT || DEFAULTS['serve.port']),
      rateLimit: env.INFRASAGE_RATE_LIMIT || DEFAULTS['serve.rate_limit'],
      logLevel: env.INFRASAGE_LOG_LEVEL || (debug ? 'debug' : quiet ? 'error' : DEFAULTS['serve.log_level']),
    },
    {
      host: '--host or INFRASAGE_HOST',
      port: '--port or INFRASAGE_PORT',
      rateLimit: 'INFRASAGE_RATE_LIMIT',
      logLevel: 'INFRASAGE_LOG_LEVEL',
    },
  );
  return { ...settings, tokens: readTokenSettings(env) };
}

/** Settings whose value is repeated where it is refused: none that may have a password in it. */
const REPEATED = ['database', 'tenant', 'format', 'retryFor', 'host', 'port', 'rateLimit', 'logLevel'];
const REPEATED_LENGTH = 60;

/** @param sources where each setting may come from, for messages */
function parseSettings<T extends object>(
  schema: z.ZodType<T>,
  given: Record<string, unknown>,
  sources: Partial<Record<keyof T, string>>,
): T {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const name = String(issue?.path[0] ?? '');
  const source = Object.entries(sources).find(([key]) => key === name)?.[1] ?? 'a setting';
  const repeated = REPEATED.includes(name)
    ? ` (given: ${excerpt(String(given[name]), REPEATED_LENGTH)})`
    : '';
  throw usageError(`${source} ${issue?.message}${repeated}`);
}

/** Where data is kept where no directory is named. */
export function defaultDataDir(env: Io['env']): string {
  if (env.XDG_DATA_HOME) return join(env.XDG_DATA_HOME, 'infrasage');
  const home = env.HOME || homedir();
  if (!home)
    throw new InfrasageError('there is no home directory to keep data in', { hint: 'give --data-dir DIR' });
  return join(home, '.local', 'share', 'infrasage');
}
