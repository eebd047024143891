import { programVersion } from '../../package.ts';
import { loadEngine } from '../../store/engine.ts';
import { type Check, dataOf, NO_DATA } from '../check.ts';

/** The engine, and the versions of all that runs. */
export const engine: Check = {
  name: 'engine',
  async run(subject) {
    const data = await dataOf(subject);
    const versions = { infrasage: programVersion(), node: process.versions.node };
    const own = `infrasage ${versions.infrasage}, Node ${versions.node}`;
    if (subject.config.clickhouse) {
      if (data?.kind !== 'server') return NO_DATA;
      const { engineVersion } = data.server;
      return {
        summary: `ClickHouse server ${engineVersion}; ${own}`,
        details: { ...versions, kind: 'server', engine: engineVersion },
      };
    }
    const embedded = await loadEngine();
    // Where it runs already, it is not started once more to be asked.
    const version = data?.kind === 'embedded' ? data.store.engineVersion : embedded.version();
    return {
      summary: `${embedded.package}, ClickHouse ${version}; ${own}`,
      details: { ...versions, kind: 'embedded', package: embedded.package, engine: version },
    };
  },
};
