import { accessSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import { LAYOUT_VERSION } from './schema.ts';

/** What tells a data directory from any other. */
const FILE = 'infrasage.json';

/**
 * What wrote a data directory, kept beside the data as infrasage.json, since an
 * engine must not open files of a newer one to find out.
 */
const versions = z.object({
  layout: z.number().int(),
  engine: z.string(),
  /** The package that the engine came in when the directory was last opened, and the version that it said it had. */
  build: z.object({ package: z.string(), engine: z.string() }).optional(),
  /** Fingerprint of the schema by database. */
  schema: z.record(z.string(), z.string()),
  /** Version of the program that brought a database to its schema, or began to. */
  program: z.record(z.string(), z.string()).default({}),
});
type Versions = z.infer<typeof versions>;

/** An engine that runs on no directory yet. */
export interface IdleEngine {
  /** The package that it comes in, with its version: there is one engine to each. */
  package: string;
  /** Asks it for its version. It starts for that, and ends: 0.15 CPU-seconds, as much as a directory takes to open. */
  version(): string;
}

/**
 * Refuses a directory that a newer program or engine has written.
 * @returns the engine's version, known from when it had the directory before, or asked; undefined where nothing is
 *   recorded that it would have to be compared with
 * @throws InfrasageError (exit 3)
 */
export function assertReadable(dataDir: string, idle: IdleEngine): string | undefined {
  const found = readVersions(dataDir);
  if (!found) return undefined;
  const hint = 'update infrasage (npm install), or give another --data-dir';
  if (found.layout > LAYOUT_VERSION) {
    throw new InfrasageError(
      `the data directory ${dataDir} was written by a newer infrasage (layout ${found.layout}, this one knows ${LAYOUT_VERSION})`,
      { hint },
    );
  }
  const engine = found.build?.package === idle.package ? found.build.engine : idle.version();
  // Year and release are what changes the files: 26.7.2.1 equals 26.7.9.4.
  if (compareNumbers(found.engine, engine, 2) > 0) {
    throw new InfrasageError(
      `the data directory ${dataDir} was written by engine ${found.engine}, which is newer than this one, ${engine}`,
      { hint },
    );
  }
  return engine;
}

/** Whether there is a data directory; also where it cannot be looked into, which opening it explains. */
export function isMade(dataDir: string): boolean {
  try {
    accessSync(join(dataDir, FILE));
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ENOENT');
  }
}

/**
 * Whether a database is there, or was begun to be made; also where that is not written down readably, which opening
 * the directory explains.
 */
export function isKnown(dataDir: string, database: string): boolean {
  const found = readVersions(dataDir);
  return !found || found.schema[database] !== undefined || found.program[database] !== undefined;
}

/** The fingerprint of the schema a database was last brought to; undefined where it is not known. */
export function recordedSchema(dataDir: string, database: string): string | undefined {
  return readVersions(dataDir)?.schema[database];
}

/**
 * Records what writes the directory. First of all without a schema, so that an older engine or program
 * refuses the directory also where this one ends before its schema is applied.
 */
export function recordVersions(
  dataDir: string,
  now: { engine: string; package: string; database: string; schema?: string },
): void {
  const { schema = {}, program = {} } = readVersions(dataDir) ?? {};
  writeVersions(dataDir, {
    layout: LAYOUT_VERSION,
    engine: now.engine,
    build: { package: now.package, engine: now.engine },
    schema: { ...schema, ...(now.schema === undefined ? {} : { [now.database]: now.schema }) },
    program,
  });
}

/**
 * Records that a program begins to bring a database to its schema: until that is done, the schema is not known.
 * @throws InfrasageError (exit 3) where a newer program has brought it to another one, or began to
 */
export function recordMigration(dataDir: string, database: string, program: string): void {
  const before = readVersions(dataDir);
  if (!before) return;
  const last = before.program[database];
  if (last !== undefined && compareNumbers(last, program, 3) > 0) {
    throw new InfrasageError(
      `the database ${database} was changed by infrasage ${last}, which is newer than this one, ${program}`,
      { hint: 'update infrasage' },
    );
  }
  const { [database]: _, ...schema } = before.schema;
  writeVersions(dataDir, { ...before, schema, program: { ...before.program, [database]: program } });
}

/** Replaces the file as a whole. */
function writeVersions(dataDir: string, after: Versions): void {
  if (JSON.stringify(readVersions(dataDir)) === JSON.stringify(after)) return;
  const path = join(dataDir, FILE);
  writeFileSync(`${path}.new`, `${JSON.stringify(after, null, 2)}\n`, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}

function readVersions(dataDir: string): Versions | undefined {
  let text: string;
  try {
    text = readFileSync(join(dataDir, FILE), 'utf8');
  } catch {
    return undefined;
  }
  try {
    return versions.parse(JSON.parse(text));
  } catch (error) {
    throw new InfrasageError(`${join(dataDir, FILE)} is damaged`, {
      hint: 'restore it from a backup; without it the version of the data is not known',
      cause: error,
    });
  }
}

/** Order of two versions by their first numbers. */
function compareNumbers(a: string, b: string, numbers: number): number {
  const [left, right] = [a, b].map((version) => version.split('.').map((part) => Number.parseInt(part, 10)));
  for (let i = 0; i < numbers; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
