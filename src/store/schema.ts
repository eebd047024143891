import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { packageFile } from '../package.ts';

/** The schema's files, next to the sources and shipped with the package. */
const FOLDER = packageFile('src/schema/');

/** A numbered file: applied once, in order. */
export interface Migration {
  version: number;
  name: string;
  statements: string[];
  checksum: string;
}

/** A view of the pipeline: brought to its current text whenever that has changed. */
export interface View {
  name: string;
  /** Table or view name, without the database. */
  view: string;
  create: string;
  select: string;
  checksum: string;
}

/** What this program writes; a directory with a higher number is refused. */
export const LAYOUT_VERSION = 1;

/** Read once: a process that stays goes on with its own rules where another version is installed meanwhile. */
const PARSE = withoutComments(read('parse.sql'));

/** The SELECT that judges the lines of a batch, with the columns of infrasage_parsed. */
export function parseSql(lines: string): string {
  return PARSE.replace('{{lines}}', () => `(${lines})`);
}

export function migrations(): Migration[] {
  return readdirSync(FOLDER)
    .filter((name) => /^\d+_.+\.sql$/.test(name))
    .sort()
    .map((name) => {
      const text = read(name);
      const statements = statementsIn(text);
      return { version: Number.parseInt(name, 10), name, statements, checksum: checksum(text) };
    });
}

/**
 * The tables as the migrations leave them, for a database that has none yet: fewer statements, of which none needs
 * another. A test holds that both come to the same.
 */
export function tables(): string[] {
  return statementsIn(read('tables.sql'));
}

/** The tables that processes lock and fence each other with on a server; each statement can be repeated. */
export function lockTables(): string[] {
  return statementsIn(read('locks.sql'));
}

export function views(): View[] {
  return readdirSync(new URL('views/', FOLDER))
    .sort()
    .map((name) => {
      const text = withoutComments(read(`views/${name}`)).trim();
      const head = /^CREATE MATERIALIZED VIEW IF NOT EXISTS \{\{db\}\}\.(\w+) TO \{\{db\}\}\.\w+ AS\s/.exec(
        text,
      );
      if (!head?.[1])
        throw new Error(`views/${name} does not start with CREATE MATERIALIZED VIEW IF NOT EXISTS … TO … AS`);
      return {
        name: `views/${name}`,
        view: head[1],
        create: text,
        select: text.slice(head[0].length),
        checksum: checksum(text),
      };
    });
}

/** Changes with any of the schema's files. */
export function fingerprint(): string {
  const files = [...migrations(), ...views(), { name: 'parse.sql', checksum: checksum(PARSE) }];
  return checksum(files.map((file) => `${file.name} ${file.checksum}`).join('\n'));
}

function read(name: string): string {
  return readFileSync(new URL(name, FOLDER), 'utf8');
}

function statementsIn(text: string): string[] {
  return withoutComments(text)
    .split(/;\s*\n/)
    .map((s) => s.trim().replace(/;$/, ''))
    .filter(Boolean);
}

/** Whole-line comments only: a `--` elsewhere may be inside a string. */
function withoutComments(sql: string): string {
  return sql.replace(/^\s*--.*\n/gm, '');
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
