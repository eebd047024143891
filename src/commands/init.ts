import { usageError } from '../errors.ts';
import { parseSpan } from '../period.ts';
import { rawRetention, setRawRetention } from '../verify/retention.ts';
import { type CommandModule, examples } from './command.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  command.option(
    '--raw-retention <span>',
    'remove events and dead letters so long after they were ingested, e.g. 90d; what is metered stays; off keeps them',
  );
  examples(command, [
    'infrasage init',
    'infrasage init --data-dir /var/lib/infrasage',
    'infrasage init --raw-retention 90d',
  ]);
  act<{ rawRetention?: string }>(command, async (context, options) => {
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
