import { recover, recoveryWords } from '../ingest/recover.ts';
import { type CommandModule, examples } from './command.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  command.option(
    '--abandon',
    'give up batches whose lines came through a pipe on another machine and are still there',
  );
  examples(command, ['infrasage recover', 'infrasage recover --json', 'infrasage recover --abandon']);
  act<{ abandon?: boolean }>(command, async (context, { abandon = false }) => {
    const store = await context.unsettledStore();
    const done = await recover(store, { now: context.io.now, abandon });
    const { lines, setAside, elsewhere, ...batches } = done;
    return context.print({
      data: { ...batches, set_aside: setAside, elsewhere, lines },
      rows: Object.entries(batches).map(([outcome, count]) => ({
        outcome,
        batches: count,
        lines: lines[outcome as keyof typeof lines],
      })),
      columns: [
        { key: 'outcome', title: 'Outcome', kind: 'text' },
        { key: 'batches', title: 'Batches', kind: 'count' },
        { key: 'lines', title: 'Lines', kind: 'count' },
      ],
      notes: [recoveryWords(done) || 'There was nothing to recover.'],
    });
  });
};
