import ms, { type StringValue } from 'ms';
import { z } from 'zod';
import { ALL_FORMATS } from '../render/format.ts';

/** Name of a database: safe in a path and in SQL. */
export const databaseName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, 'must be letters, digits and underscores, and start with no digit');

/** A tenant as an operator may name it: the contract's rule for tenant_id. */
export const tenantId = z
  .string()
  .refine(
    (s) => s !== '' && [...s].length <= 128 && !/\p{Cc}/u.test(s),
    'must be 1 to 128 characters, none of them control characters',
  );

const serverUrl = z
  .string()
  // Never said in a message: a password may be in it.
  .refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), {
    error: 'must be an http or https URL, such as http://localhost:8123',
    abort: true,
  })
  .transform((text) => new URL(text))
  .refine(({ search, hash }) => search === '' && hash === '', 'must have no ? and no # in it');

/** How long to try again: milliseconds. */
const retryTime = z
  .string()
  .regex(/^(0|\d+(s|m|h))$/, 'must be a span such as 60s, 5m or 0')
  .transform((text) => (text === '0' ? 0 : ms(text as StringValue)));

const jwtSecret = z
  .string()
  .refine(
    (text) => Buffer.byteLength(text) >= 32,
    'must be at least 32 bytes, such as of openssl rand -hex 32',
  );

/** Keys come from where nobody can change them on the way: https, or this machine. */
const jwksUrl = z
  .url({ protocol: /^https?$/, error: 'must be an https URL' })
  .refine(
    (text) =>
      !text.startsWith('http:') || ['localhost', '127.0.0.1', '[::1]'].includes(new URL(text).hostname),
    'must be an https URL',
  );

const wholeNumber = (least: number, most: number) => {
  const error = `must be a whole number from ${least} to ${most}`;
  return z.coerce.number({ error }).int(error).min(least, error).max(most, error);
};

const oneOf = <const T extends readonly string[]>(values: T) =>
  z.enum(values, { error: `must be one of ${values.join(', ')}` });

const filled = z.string().min(1, 'must not be empty');

const list = z.string().transform((text) =>
  text
    .split(',')
    .map((one) => one.trim())
    .filter(Boolean),
);

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

/**
 * Every setting, by its name in a config file: the variable that sets it too, the flag if it has one, and what its
 * text must be. A path in a file is relative to the folder of the file. Of a secret, no message shows the value; of a
 * URL with a secret in it, only where it leads.
 */
export const SETTINGS = {
  'clickhouse.url': {
    what: 'ClickHouse server to work with; without one, the embedded engine',
    variable: 'INFRASAGE_CLICKHOUSE_URL',
    flag: '--clickhouse',
    value: serverUrl,
    secret: 'password',
  },
  'clickhouse.user': {
    what: 'its user, where the URL names none',
    variable: 'INFRASAGE_CLICKHOUSE_USER',
    value: z.string(),
  },
  'clickhouse.password': {
    what: 'the password of that user',
    variable: 'INFRASAGE_CLICKHOUSE_PASSWORD',
    value: z.string(),
    secret: 'all',
  },
  'clickhouse.ca_file': {
    what: "certificates to trust beside the system's, PEM",
    variable: 'INFRASAGE_CLICKHOUSE_CA_FILE',
    value: z.string(),
    path: true,
  },
  'clickhouse.retry_for': {
    what: 'how long a server that does not answer is tried again',
    variable: 'INFRASAGE_RETRY_FOR',
    flag: '--retry-for',
    value: retryTime,
  },
  data_dir: {
    what: 'where the embedded engine keeps its data, and batches are spooled',
    variable: 'INFRASAGE_DATA_DIR',
    flag: '--data-dir',
    value: filled,
    path: true,
  },
  database: {
    what: 'name of the database',
    variable: 'INFRASAGE_DATABASE',
    flag: '--database',
    value: databaseName,
  },
  tenant: {
    what: 'only this tenant; on ingest, for events without one',
    variable: 'INFRASAGE_TENANT',
    flag: '--tenant',
    value: tenantId,
  },
  format: {
    what: 'output format: table, json, ndjson, csv or markdown',
    variable: 'INFRASAGE_FORMAT',
    flag: '--format',
    value: oneOf(ALL_FORMATS),
  },
  'serve.host': {
    what: 'address that infrasage serve listens on',
    variable: 'INFRASAGE_HOST',
    flag: '--host',
    value: filled,
  },
  'serve.port': {
    what: 'its port; 0 for any free one',
    variable: 'INFRASAGE_PORT',
    flag: '--port',
    value: wholeNumber(0, 65_535),
  },
  'serve.rate_limit': {
    what: 'requests a minute that one caller may send',
    variable: 'INFRASAGE_RATE_LIMIT',
    value: wholeNumber(1, 100_000_000),
  },
  'serve.log_level': {
    what: 'debug, info, warn, error or silent',
    variable: 'INFRASAGE_LOG_LEVEL',
    value: oneOf(LOG_LEVELS),
  },
  'jwt.secret': {
    what: 'key that tokens are signed and verified with, at least 32 bytes',
    variable: 'INFRASAGE_JWT_SECRET',
    value: jwtSecret,
    secret: 'all',
  },
  'jwt.jwks_url': {
    what: 'https URL of the keys that tokens are verified with, instead',
    variable: 'INFRASAGE_JWKS_URL',
    value: jwksUrl,
    secret: 'password',
  },
  'jwt.public_key_file': {
    what: 'file with the public key that they are verified with, instead',
    variable: 'INFRASAGE_JWT_PUBLIC_KEY_FILE',
    value: z.string(),
    path: true,
  },
  'jwt.audience': {
    what: 'audience that tokens must name',
    variable: 'INFRASAGE_JWT_AUDIENCE',
    value: z.string(),
  },
  'jwt.issuer': { what: 'issuer that tokens must name', variable: 'INFRASAGE_JWT_ISSUER', value: z.string() },
  'alerts.smtp_url': {
    what: 'mail server: smtp://user:password@host:587, or smtps',
    variable: 'INFRASAGE_SMTP_URL',
    value: z.string(),
    secret: 'password',
  },
  'alerts.smtp_from': {
    what: 'address that mails are from',
    variable: 'INFRASAGE_SMTP_FROM',
    value: z.string(),
  },
  'alerts.slack_webhook_url': {
    what: 'incoming webhook of Slack',
    variable: 'SLACK_WEBHOOK_URL',
    value: z.string(),
    secret: 'place',
  },
  'alerts.slack_channel': {
    what: 'channel of it, where it leaves the choice',
    variable: 'SLACK_CHANNEL',
    value: z.string(),
  },
  'alerts.webhook_secret': {
    what: 'key of the signatures of webhooks',
    variable: 'INFRASAGE_WEBHOOK_SECRET',
    value: z.string(),
    secret: 'all',
  },
  'alerts.webhook_allow_hosts': {
    what: 'hosts that webhooks may name although they are not public, by commas',
    variable: 'INFRASAGE_WEBHOOK_ALLOW_HOSTS',
    value: list,
  },
} as const satisfies Record<string, Setting>;

export interface Setting {
  /** What it is, for people. */
  what: string;
  variable: string;
  flag?: string;
  /** From the text of a flag, a variable or a file. */
  value: z.ZodType<unknown, unknown>;
  path?: true;
  /** What of it is secret: all of it, the password in a URL (or the name that stands alone), or what comes after the host. */
  secret?: 'all' | 'password' | 'place';
}

export type SettingName = keyof typeof SETTINGS;

/** The settings with their names, in order. */
export function allSettings(): (Setting & { name: SettingName })[] {
  return Object.entries<Setting>(SETTINGS).map(([name, setting]) => ({
    ...setting,
    name: name as SettingName,
  }));
}

const HIDDEN = '…';

/** A value that may be shown. */
export function shownValue({ secret }: Setting, text: string): string {
  if (secret === undefined) return text;
  if (secret === 'all' || !URL.canParse(text)) return HIDDEN;
  const url = new URL(text);
  if (secret === 'place') return `${url.protocol}//${url.host}/${HIDDEN}`;
  if (url.username === '' && url.password === '') return text;
  // Without a password the name may be a token.
  const name = url.password === '' ? HIDDEN : `${url.username}:${HIDDEN}`;
  return text.replace(/:\/\/.*@/, `://${name}@`);
}

/** Whether a value has something secret in it. */
export function hasSecret(setting: Setting, text: string): boolean {
  return text !== '' && shownValue(setting, text) !== text;
}
