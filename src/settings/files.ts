import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import type { Document, LineCounter, Node } from 'yaml';
import { usageError } from '../errors.ts';
import type { Io } from '../io.ts';
import { allSettings, type Setting } from './table.ts';

/** A file of settings as it was read. */
export interface ReadFile {
  /** As it is said: its name where it is in the working directory, its whole path elsewhere. */
  path: string;
  /** By the names of the variables. */
  values: ReadonlyMap<string, { value: string; line: number }>;
  isReadByOthers: boolean;
  /** Whether it was read because it lies in the working directory: it may have come with somebody else's files. */
  isLaid: boolean;
  /** Names that look like variables of this program and are none, by their lines. */
  unknown: readonly { name: string; line: number }[];
}

/**
 * Reads the config file that is named, or the first that is there: infrasage.config.yaml, .yml or .json in the working
 * directory, then config.yaml, .yml or .json in the user's folder for infrasage.
 * @returns undefined where there is none
 * @throws InfrasageError (exit 2) that names the file and the line: unknown settings, wrong values, two files in one
 *   place, a file of another user in the working directory
 */
export async function readConfigFile(
  env: Io['env'],
  { folder, given }: { folder: string; given: string | undefined },
): Promise<ReadFile | undefined> {
  const path = given === undefined ? findConfigFile(env, folder) : resolve(folder, given);
  if (path === undefined) return undefined;
  const name = shownPath(path, folder);
  const isLaid = given === undefined && dirname(path) === folder;
  if (isLaid) refuseOthers(path, `give it with --config ${name} to use it all the same`);
  const text = readText(path, name);
  const { parseDocument, LineCounter } = await import('yaml');
  const lines = new LineCounter();
  // JSON is YAML too, and this way both have lines.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const [fault] = [...document.errors, ...document.warnings];
  if (fault) {
    const { line } = lines.linePos(fault.pos[0]);
    throw usageError(`${name}:${line}: ${fault.message.split('\n')[0]}`);
  }
  const values = new Map<string, { value: string; line: number }>();
  for (const { key, node, line } of await leavesOf(document, lines, name)) {
    const setting = await settingNamed(key, `${name}:${line}`);
    const value = await textOf(node);
    if (value === undefined) continue;
    if (value === null) throw usageError(`${name}:${line}: ${key} must be a single value`);
    assertValid(setting, value, `${name}:${line}: ${key}`);
    values.set(setting.variable, {
      value: setting.path && value !== '' ? resolve(dirname(path), value) : value,
      line,
    });
  }
  return { path: name, values, isReadByOthers: isReadByOthers(path), isLaid, unknown: [] };
}

/**
 * Reads .env in the working directory: what is no setting of this program is passed over, and so is a file that this
 * user may not read, which is for others.
 * @returns undefined where there is nothing in one
 * @throws InfrasageError (exit 2) that names the file and the line
 */
export function readDotEnv(folder: string): ReadFile | undefined {
  const path = join(folder, '.env');
  if (!existsSync(path) || !statSync(path).isFile() || !mayRead(path)) return undefined;
  const text = readText(path, '.env');
  const lines = text.split('\n');
  const variables = parseEnv(text);
  const lineOf = (variable: string) => {
    const set = new RegExp(`^\\s*(export\\s+)?${variable}\\s*=`);
    return lines.findLastIndex((one) => set.test(one)) + 1;
  };
  const values = new Map<string, { value: string; line: number }>();
  for (const setting of allSettings()) {
    const { variable } = setting;
    const value = variables[variable];
    if (value === undefined) continue;
    refuseOthers(path, 'export its variables, or make it your own file');
    const line = lineOf(variable);
    if (value !== '') assertValid(setting, value, `.env:${line}: ${variable}`);
    values.set(variable, { value, line });
  }
  const unknown = Object.keys(variables)
    .filter(isUnknownVariable)
    .map((name) => ({ name, line: lineOf(name) }));
  if (values.size === 0 && unknown.length === 0) return undefined;
  return { path: '.env', values, isReadByOthers: isReadByOthers(path), isLaid: true, unknown };
}

/** Whether a name looks like a variable of this program and is none. */
export function isUnknownVariable(name: string): boolean {
  return (
    /^INFRASAGE_\w+$/.test(name) &&
    name !== 'INFRASAGE_CONFIG' &&
    !allSettings().some(({ variable }) => variable === name)
  );
}

function findConfigFile(env: Io['env'], folder: string): string | undefined {
  const home = env.HOME || homedir();
  const own = env.XDG_CONFIG_HOME || (home ? join(home, '.config') : undefined);
  const places = [
    join(folder, 'infrasage.config'),
    ...(own === undefined ? [] : [join(own, 'infrasage', 'config')]),
  ];
  for (const place of places) {
    const [first, second] = ['.yaml', '.yml', '.json'].map((ending) => place + ending).filter(existsSync);
    if (first !== undefined && second !== undefined) {
      throw usageError(
        `${shownPath(first, folder)} and ${shownPath(second, folder)} are both there`,
        'keep one of them',
      );
    }
    if (first !== undefined) return first;
  }
  return undefined;
}

/** What lies in a working directory by chance, or was laid there, does not decide where data goes. */
function refuseOthers(path: string, hint: string): void {
  const { uid } = statSync(path);
  const me = process.getuid?.();
  if (me === undefined || uid === me || uid === 0) return;
  throw usageError(`${basename(path)} belongs to another user (${uid})`, hint);
}

function mayRead(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function readText(path: string, name: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT') throw usageError(`there is no config file ${name}`);
    if (code === 'EISDIR') throw usageError(`${name} is a directory`);
    throw usageError(`${name} cannot be read${code === undefined ? '' : ` (${String(code)})`}`);
  }
}

interface Leaf {
  /** `serve.port` */
  key: string;
  node: Node | null;
  line: number;
}

/** Every value of a document of maps, two deep at most. */
async function leavesOf(document: Document.Parsed, lines: LineCounter, name: string): Promise<Leaf[]> {
  const { isMap, isScalar } = await import('yaml');
  const groups = new Set(allSettings().map(({ name: key }) => key.split('.').slice(0, -1).join('.')));
  const leaves: Leaf[] = [];
  const walk = (node: unknown, above: string) => {
    if (!isMap(node)) throw usageError(`${name}:1: must be settings by their names`);
    for (const { key, value } of node.items) {
      const word = isScalar(key) ? String(key.value) : '';
      const at = isScalar(key) && key.range ? lines.linePos(key.range[0]).line : 1;
      const path = above === '' ? word : `${above}.${word}`;
      if (isMap(value) && groups.has(path)) walk(value, path);
      else leaves.push({ key: path, node: (value as Node | null) ?? null, line: at });
    }
  };
  if (document.contents !== null) walk(document.contents, '');
  return leaves;
}

async function settingNamed(key: string, place: string): Promise<Setting> {
  const all = allSettings();
  const setting = all.find(({ name }) => name === key);
  if (setting) return setting;
  // What is no name may be anything: the file may be none of settings at all.
  if (!/^[A-Za-z_.]{1,40}$/.test(key))
    throw usageError(`${place}: there is no such setting`, 'settings are named in docs/configuration.md');
  const { closest } = await import('fastest-levenshtein');
  const nearest = closest(
    key,
    all.map(({ name }) => name),
  );
  throw usageError(`${place}: there is no setting ${key}`, `did you mean ${nearest}?`);
}

/**
 * A value as a variable would have it: as it stands there, since a tenant called 007 is no number.
 * @returns undefined for none, null for what no variable can be
 */
async function textOf(node: Node | null): Promise<string | null | undefined> {
  const { isScalar, isSeq } = await import('yaml');
  const text = (one: unknown) =>
    isScalar(one) && one.value !== null ? (one.source ?? String(one.value)) : null;
  if (node === null || (isScalar(node) && node.value === null)) return undefined;
  if (!isSeq(node)) return text(node);
  const texts = node.items.map(text);
  return texts.includes(null) ? null : texts.join(',');
}

function assertValid({ value, secret }: Setting, text: string, where: string): void {
  const parsed = value.safeParse(text);
  if (parsed.success) return;
  // zod's own words could repeat what is secret; those of this program do not.
  const words = parsed.error.issues[0]?.message ?? 'is not valid';
  throw usageError(`${where} ${secret && words.includes(text) ? 'is not valid' : words}`);
}

function isReadByOthers(path: string): boolean {
  return process.platform !== 'win32' && (statSync(path).mode & 0o044) !== 0;
}

function shownPath(path: string, folder: string): string {
  return dirname(path) === folder ? basename(path) : path;
}
