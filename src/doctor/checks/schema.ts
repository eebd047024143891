import { recordedSchema } from '../../store/data-dir.ts';
import { fingerprint } from '../../store/schema.ts';
import { type Check, type Data, dataOf, NO_DATA } from '../check.ts';

/** Whether the tables and views are those of this program. */
export const schema: Check = {
  name: 'schema',
  async run(subject) {
    const data = await dataOf(subject);
    if (!data) return NO_DATA;
    const { database, dataDir } = subject.config;
    const state = await stateOf(data, { database, dataDir });
    if (state === 'current') return { summary: 'up to date', details: { state } };
    const [code, message] =
      state === 'outdated'
        ? ['outdated_schema', `the database ${database} has the schema of another version of infrasage`]
        : ['no_database', `there is no infrasage database ${database}`];
    return {
      summary: state === 'outdated' ? 'not up to date' : 'not there',
      findings: [{ code, message, fix: `infrasage init --database ${database}` }],
      details: { state: state ?? 'missing' },
    };
  },
};

async function stateOf(
  data: Data,
  { database, dataDir }: { database: string; dataDir: string },
): Promise<'current' | 'outdated' | undefined> {
  if (data.kind === 'server') return data.server.schema();
  return recordedSchema(dataDir, database) === fingerprint() ? 'current' : 'outdated';
}
