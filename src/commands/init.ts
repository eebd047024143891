import { type CommandModule, examples } from './command.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  examples(command, ['infrasage init', 'infrasage init --data-dir /var/lib/infrasage']);
  act(command, async (context) => {
    const store = await context.store();
    const data = {
      data_dir: context.config.dataDir,
      database: store.database,
      engine_version: store.engineVersion,
    };
    return context.print({
      data,
      rows: [data],
      columns: [
        { key: 'data_dir', title: 'Data directory', kind: 'text' },
        { key: 'database', title: 'Database', kind: 'text' },
        { key: 'engine_version', title: 'Engine', kind: 'text' },
      ],
      notes: ['Ready. Next: infrasage ingest < events.ndjson'],
    });
  });
};
