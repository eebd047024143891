import { recover, recoveryWords } from '../ingest/recover.ts';
import { thisProcess } from '../store/process.ts';
import { type CommandModule, examples } from './command.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  examples(command, ['infrasage recover', 'infrasage recover --json']);
  act(command, async (context) => {
    const store = await context.unsettledStore();
    const done = await recover(store, { owner: thisProcess(), now: context.io.now });
    const { lines, setAside, ...batches } = done;
    return context.print({
      data: { ...batches, set_aside: setAside, lines },
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
