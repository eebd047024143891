import { EXIT, usageError } from '../errors.ts';
import { write } from '../io.ts';
import { parseSpan } from '../period.ts';
import { grantsSql, schemaSql } from '../store/server/printed.ts';
import { rawRetention, setRawRetention } from '../verify/retention.ts';
import { type CommandModule, examples } from './command.ts';

interface InitOptions {
  rawRetention?: string;
  printSql?: boolean;
  printGrants?: boolean;
  cluster?: string;
  node?: string[];
}

export const configure: CommandModule['configure'] = (command, act) => {
  command
    .option(
      '--raw-retention <span>',
      'remove events and dead letters so long after they were ingested, e.g. 90d; what is metered stays; off keeps them',
    )
    .option('--print-sql', 'print the whole schema of a server as SQL, and change nothing')
    .option('--print-grants', 'print what the user of a server must be granted, and change nothing')
    .option('--cluster <name>', 'spread the tables over a cluster of ClickHouse servers')
    .option(
      '--node <url>',
      'HTTP address of a node of it, once each; only where the cluster has no ClickHouse Keeper',
      (url: string, all: readonly string[] | undefined) => [...(all ?? []), url],
    );
  examples(command, [
    'infrasage init',
    'infrasage init --data-dir /var/lib/infrasage',
    'infrasage init --raw-retention 90d',
    'infrasage init --clickhouse http://localhost:8123',
    'infrasage init --print-grants --clickhouse http://meter@localhost:8123',
    'infrasage init --print-grants --cluster metering --node http://ch1:8123 --node http://ch2:8123',
    'infrasage init --clickhouse http://ch1:8123 --cluster metering --node http://ch1:8123 --node http://ch2:8123',
  ]);
  act<InitOptions>(command, async (context, options) => {
    const { printSql, printGrants, cluster, node = [] } = options;
    if (printSql && printGrants) throw usageError('--print-sql and --print-grants do not go together');
    if (cluster === undefined && node.length > 0) throw usageError('--node goes with --cluster');
    if (cluster !== undefined && printSql)
      throw usageError(
        '--print-sql is of one server',
        'infrasage init --cluster makes the schema of a cluster',
      );
    if (printSql || printGrants) {
      const { clickhouse, database } = context.config;
      const user = clickhouse?.user ?? 'infrasage';
      const grants = grantsSql(database, user, cluster === undefined ? undefined : node.map(nodeUrl));
      await write(context.io.stdout, printSql ? schemaSql(database) : grants);
      return EXIT.ok;
    }
    if (cluster !== undefined)
      await context.clusterStore({ name: clusterName(cluster), nodes: node.map(nodeUrl) });
    const wanted = options.rawRetention === undefined ? undefined : parseRetention(options.rawRetention);
    const store = await context.storeToWrite();
    if (wanted !== undefined) await setRawRetention(store, wanted, context.now);
    const { clickhouse, dataDir } = context.config;
    const data = {
      ...(clickhouse ? { server: clickhouse.url.href } : { data_dir: dataDir }),
      database: store.database,
      engine_version: store.engineVersion,
      raw_retention_seconds: await rawRetention(store),
    };
    return context.print({
      data,
      rows: [data],
      columns: [
        clickhouse
          ? { key: 'server', title: 'Server', kind: 'text' }
          : { key: 'data_dir', title: 'Data directory', kind: 'text' },
        { key: 'database', title: 'Database', kind: 'text' },
        { key: 'engine_version', title: 'Engine', kind: 'text' },
      ],
      notes: [
        ...(data.raw_retention_seconds === null
          ? []
          : [
              `Raw rows are kept for ${data.raw_retention_seconds / DAY} days after they were ingested; what is metered stays.`,
            ]),
        'Ready. Next: infrasage ingest < events.ndjson',
      ],
    });
  });
};

const DAY = 86_400;

/** In seconds; null to keep raw rows for good. */
function parseRetention(text: string): number | null {
  if (text === 'off') return null;
  const seconds = Math.ceil(parseSpan(text, '--raw-retention') / 1000);
  if (seconds >= DAY) return seconds;
  throw usageError(
    `--raw-retention ${text} is less than a day`,
    'retries by key are answered from dead letters for a day',
  );
}

function clusterName(text: string): string {
  if (/^[\w.-]{1,64}$/.test(text)) return text;
  throw usageError('--cluster must be letters, digits, underscores, dots and dashes');
}

/** Never said in a message: a password may be in it. */
function nodeUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '') return url.href;
  throw usageError('--node must be an http or https URL without a user', 'the user is that of --clickhouse');
}
