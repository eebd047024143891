import { type Check, dataOf, NO_DATA } from '../check.ts';

/** Whether the user of a server may do what infrasage does: write, and where the schema is not there, make it. */
export const grants: Check = {
  name: 'grants',
  async run(subject) {
    const { clickhouse } = subject.config;
    if (!clickhouse) return { skipped: 'the embedded engine has none' };
    const data = await dataOf(subject);
    if (data?.kind !== 'server') return NO_DATA;
    const { server } = data;
    const isMade = (await server.schema().catch(() => undefined)) === 'current';
    const missing = await server.missingGrants(isMade ? 'write' : 'prepare');
    return {
      summary:
        missing.length === 0
          ? `the user ${clickhouse.user} has what it needs`
          : `the user ${clickhouse.user} lacks ${missing.length}`,
      findings: missing.map((statement) => ({
        code: 'missing_grant',
        message: `the user ${clickhouse.user} lacks a grant`,
        fix: `an administrator of the server runs: ${statement}`,
      })),
      details: { user: clickhouse.user, missing },
    };
  },
};
