import { randomBytes } from 'node:crypto';
import { openServer } from '../../src/store/server/open-server.ts';
import { addressOf, ask } from './clickhouse-server.ts';
import type { Engine } from './engine.ts';

/** Databases that sandboxes of this process have, of those that are used one after another. */
const taken = new Set<string>();

/**
 * A database of a ClickHouse server that nobody else uses.
 * @param options.initialised whether its schema is there: one that was used before and emptied, which takes a hundredth
 *   of the time of making one. One whose schema a test has changed, such as how long rows are kept, is used by no other.
 */
export function serverEngine(
  url: string,
  { dataDir, initialised }: { dataDir: string; initialised: boolean },
): Engine {
  const database = initialised ? reused() : `new_${randomBytes(8).toString('hex')}`;
  const openStore = () => openServer({ address: addressOf(url), database, dataDir, onWait: () => {} });
  const prepare = async () => {
    const filled = await ask<{ name: string }>(
      url,
      `SELECT name FROM system.tables WHERE database = '${database}' AND engine LIKE '%MergeTree'
        AND total_rows > 0 AND name != 'infrasage_migrations'`,
    );
    await Promise.all(filled.map(({ name }) => ask(url, `TRUNCATE TABLE ${database}.${name}`)));
    await (await openStore()).close();
    return schemaOf(url, database);
  };
  const prepared = initialised ? prepare() : Promise.resolve(undefined);
  return {
    env: { INFRASAGE_CLICKHOUSE_URL: url, INFRASAGE_DATABASE: database },
    ready: prepared.then(() => {}),
    session: (use) => use((statement) => ask(url, statement.replaceAll('{{db}}', database))),
    openStore,
    async remove(clean) {
      // What a killed program has sent may still be written: nobody else gets that database.
      const again = initialised && clean && (await prepared) === (await schemaOf(url, database));
      if (!again) await ask(url, `DROP DATABASE IF EXISTS ${database}`);
      taken.delete(database);
    },
  };
}

/** How the tables of a database are made, in short. */
async function schemaOf(url: string, database: string): Promise<string | undefined> {
  const [found] = await ask<{ schema: string }>(
    url,
    `SELECT toString(sum(cityHash64(name, create_table_query))) AS schema FROM system.tables WHERE database = '${database}'`,
  );
  return found?.schema;
}

/** The name of a database that no sandbox has: the same one again and again. */
function reused(): string {
  for (let n = 1; ; n++) {
    // Test files that run at the same time have a number each.
    const name = `reused_${process.env.VITEST_POOL_ID}_${n}`;
    if (taken.has(name)) continue;
    taken.add(name);
    return name;
  }
}
