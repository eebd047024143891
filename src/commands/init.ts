import { type CommandModule, examples } from './command.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  examples(command, ['infrasage init', 'infrasage init --data-dir /var/lib/infrasage']);
  act(command, async (context) => {
    const store = await context.store();
    const { clickhouse, dataDir } = context.config;
    const data = {
      ...(clickhouse ? { server: clickhouse.url.href } : { data_dir: dataDir }),
      database: store.database,
      engine_version: store.engineVersion,
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
      notes: ['Ready. Next: infrasage ingest < events.ndjson'],
    });
  });
};
