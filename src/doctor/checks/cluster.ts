import { isoTime } from '../../period.ts';
import { type Check, dataOf, type Finding, NO_DATA } from '../check.ts';
import { CLOCK_MS } from './clock.ts';

/** Each node of a cluster: whether it answers, its tables, grants, version and clock. */
export const cluster: Check = {
  name: 'cluster',
  async run(subject) {
    if (!subject.config.clickhouse) return { skipped: 'the embedded engine has none' };
    const data = await dataOf(subject);
    if (data?.kind !== 'server') return NO_DATA;
    const found = await data.server.nodes();
    if (!found) return { skipped: 'the database is on one server' };
    const findings: Finding[] = [];
    const there = found.nodes.filter((node) => 'version' in node);
    for (const node of found.nodes) {
      if ('version' in node) continue;
      findings.push({
        code: 'node_away',
        message: `the node ${node.node} of ${found.cluster} does not answer: ${node.fault.message}`,
        fix: 'start it: commands wait --retry-for for every node',
      });
    }
    const tables = new Set(there.flatMap((node) => node.tables));
    for (const { node, tables: own, missingGrants } of there) {
      const missing = [...tables].filter((table) => !own.includes(table)).sort();
      if (missing.length > 0) {
        findings.push({
          code: 'node_without_tables',
          message: `the node ${node} of ${found.cluster} has no ${missing.join(', ')}`,
          fix: `infrasage init --cluster ${found.cluster}, with --node for each as before`,
        });
      }
      findings.push(
        ...missingGrants.map((statement) => ({
          code: 'missing_grant',
          message: `the user ${subject.config.clickhouse?.user} lacks a grant on the node ${node}`,
          fix: `an administrator runs there: ${statement}`,
        })),
      );
    }
    const releases = new Set(there.map(({ version }) => version.split('.').slice(0, 2).join('.')));
    if (releases.size > 1) {
      findings.push({
        code: 'several_versions',
        message: `the nodes of ${found.cluster} are of several releases: ${[...releases].sort().join(', ')}`,
        fix: 'update them to the same one',
      });
    }
    const times = there.flatMap(({ now }) => (now ? [now.getTime()] : []));
    const apart = times.length < 2 ? 0 : Math.max(...times) - Math.min(...times);
    if (apart > CLOCK_MS) {
      findings.push({
        code: 'clocks_apart',
        message: `the clocks of the nodes are ${Math.round(apart / 1000)} seconds apart`,
        fix: 'timedatectl set-ntp true on each node',
      });
    }
    return {
      summary: `${found.cluster}: ${there.length} of ${found.nodes.length} nodes answer`,
      findings,
      details: {
        cluster: found.cluster,
        nodes: found.nodes.map((node) => ({
          node: node.node,
          version: 'version' in node ? node.version : null,
          clock: 'version' in node && node.now ? isoTime(node.now) : null,
        })),
      },
    };
  },
};
