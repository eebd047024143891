import { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import { programVersion } from '../package.ts';
import { recordedSchema, recordMigration } from './data-dir.ts';
import { fingerprint, type Migration, migrations, tables, type View, views } from './schema.ts';
import type { Reader, Store } from './store.ts';

const LEDGER = `CREATE TABLE IF NOT EXISTS {{db}}.infrasage_migrations
(
    version        UInt32 COMMENT '0 for a view, which is brought to its current text',
    name           String,
    checksum       String,
    engine_version String,
    applied_at     DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY (version, name)`;

const appliedRow = z.object({ version: z.number(), name: z.string(), checksum: z.string() });
type Applied = z.infer<typeof appliedRow>;

/** A file of the schema as it is recorded; version 0 for a view. */
type SchemaFile = Pick<Migration, 'version' | 'name' | 'checksum'>;

/** Makes tables, or views of them. */
export interface TableMaker {
  /** Runs the statements that make them, none of which needs another one to be done. */
  make(statements: readonly string[]): Promise<void>;
}

/**
 * Brings a database of the embedded engine to this program's schema; does
 * nothing where its data directory says that it is there already.
 * @returns the fingerprint of the schema it has now
 * @throws InfrasageError (exit 3) where a newer program has changed the schema, or a migration was edited
 */
export async function migrate(store: Store & TableMaker, dataDir: string): Promise<string> {
  const wanted = fingerprint();
  if (recordedSchema(dataDir, store.database) === wanted) return wanted;
  // Before anything is changed: where this ends half-way, an older program must not take the schema for its own,
  // nor set back the views of a newer one.
  recordMigration(dataDir, store.database, programVersion());
  await store.command('CREATE DATABASE IF NOT EXISTS {{db}}');
  await bringUpToDate(store, { maker: store });
  return wanted;
}

/**
 * Brings a database that is there to this program's schema. Every statement
 * can be repeated, so an interrupted run is finished by the next one; not to be
 * done by two at once.
 * @param options.anew whether every statement is repeated, also where it is recorded as done
 * @param options.maker makes the tables and views of a database that has none, as they are now; without it, that too is
 *   brought from one migration to the next
 * @throws InfrasageError (exit 3) where a newer program has changed the schema, or a migration was edited
 */
export async function bringUpToDate(
  store: Store,
  { anew = false, maker }: { anew?: boolean; maker?: TableMaker } = {},
): Promise<void> {
  await store.command(LEDGER);
  const applied = await appliedFiles(store);
  const known = migrations();
  refuseNewer(applied, known, store.database);
  // Of a new database at once: one by one it took a fifth of the time of making it. Of one that others may be using,
  // each as soon as it is done: whoever does not know it must see that it is there.
  const isNew = applied.length === 0;
  const made: SchemaFile[] = [];
  const done = async (file: SchemaFile) => {
    if (isNew) made.push(file);
    else await record(store, [file]);
  };
  const wanted = views().filter((view) => !hasView(applied, view) || anew);
  const there = wanted.length > 0 ? await tablesOf(store) : [];
  // Where an earlier run has begun, its tables may be those of an older program: only the migrations change them.
  const names = tablesIn(known.flatMap(({ statements }) => statements));
  if (maker && isNew && !there.some((table) => names.has(table))) {
    await maker.make(tables());
    await maker.make(wanted.map(({ create }) => create));
    return record(store, [...known, ...wanted.map(asFile)]);
  }
  for (const migration of known) {
    const before = applied.find((row) => row.version === migration.version);
    if (before) refuseEdited(before, migration);
    if (before && !anew) continue;
    for (const statement of migration.statements) await store.command(statement);
    await done(migration);
  }
  for (const view of wanted) {
    // Where every statement is repeated, the node that is asked may be the only one without it.
    await bringUp(store, view, anew || there.includes(view.view));
    await done(asFile(view));
  }
  if (made.length > 0) await record(store, made);
}

function asFile(view: View): SchemaFile {
  return { ...view, version: 0 };
}

/** Names of the tables that statements make. */
function tablesIn(statements: readonly string[]): Set<string> {
  const name = /^CREATE TABLE IF NOT EXISTS \{\{db\}\}\.(\w+)/;
  return new Set(statements.flatMap((sql) => name.exec(sql)?.[1] ?? []));
}

/**
 * The statements that bring an empty database to this program's schema, for those who apply them themselves.
 * @param before statements that go first
 */
export function schemaStatements(before: readonly string[]): string[] {
  const known = [...migrations(), ...views().map(asFile)];
  const rows = known.map(({ version, name, checksum }) => `(${version}, '${name}', '${checksum}', '')`);
  return [
    'CREATE DATABASE IF NOT EXISTS {{db}}',
    ...before,
    LEDGER,
    // Not tables(): these also bring a database of an older program to what the rows below say of it.
    ...migrations().flatMap(({ statements }) => statements),
    ...views().map(({ create }) => create),
    `INSERT INTO {{db}}.infrasage_migrations (version, name, checksum, engine_version) VALUES\n${rows.join(',\n')}`,
  ];
}

/** Whether a database has this program's schema: one query. Fails where there is no schema at all. */
export async function isUpToDate(store: Reader): Promise<boolean> {
  const applied = await appliedFiles(store);
  const known = migrations();
  return (
    applied.filter(({ version }) => version > 0).length === known.length &&
    known.every(({ version, checksum }) =>
      applied.some((row) => row.version === version && row.checksum === checksum),
    ) &&
    views().every((view) => hasView(applied, view))
  );
}

function appliedFiles(store: Reader): Promise<Applied[]> {
  return store.query(
    'SELECT version, name, argMax(checksum, applied_at) AS checksum FROM {{db}}.infrasage_migrations GROUP BY version, name',
    appliedRow,
  );
}

function hasView(applied: readonly Applied[], { name, checksum }: View): boolean {
  return applied.some((row) => row.version === 0 && row.name === name && row.checksum === checksum);
}

/** Changes a view in place where it is there: dropping it would leave inserts in between unmetered. */
async function bringUp(store: Store, view: View, isThere: boolean): Promise<void> {
  await store.command(view.create);
  if (isThere) await store.command(`ALTER TABLE {{db}}.${view.view} MODIFY QUERY ${view.select}`);
}

async function tablesOf(store: Store): Promise<string[]> {
  const tables = await store.query(
    'SELECT name FROM system.tables WHERE database = {database:String}',
    z.object({ name: z.string() }),
    { database: store.database },
  );
  return tables.map(({ name }) => name);
}

async function record(store: Store, files: readonly SchemaFile[]): Promise<void> {
  const rows = files.map(({ version, name, checksum }) => ({
    version,
    name,
    checksum,
    engine_version: store.engineVersion,
  }));
  await store.insert('infrasage_migrations', ...rows);
}

function refuseNewer(applied: readonly Applied[], known: readonly Migration[], database: string): void {
  const newest = Math.max(0, ...known.map((m) => m.version));
  const unknown = applied.find((row) => row.version > newest);
  if (!unknown) return;
  throw new InfrasageError(
    `the database ${database} was changed by a newer infrasage (${unknown.name}; this one knows up to ${newest})`,
    { hint: 'update infrasage' },
  );
}

function refuseEdited(before: Applied, migration: Migration): void {
  if (before.checksum === migration.checksum) return;
  throw new InfrasageError(`${migration.name} is not the file that was applied to this database`, {
    hint: 'reinstall infrasage: its schema files were changed',
  });
}
