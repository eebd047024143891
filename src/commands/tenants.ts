import { tenants } from '../reports/tenants.ts';
import { type CommandModule, examples } from './command.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  examples(command, ['infrasage tenants', 'infrasage tenants --json']);
  act(command, async (context) => {
    const rows = await tenants(await context.store());
    const { tenant } = context.config;
    const found = tenant === undefined ? rows : rows.filter((row) => row.tenant_id === tenant);
    return context.print({
      data: { tenants: found },
      rows: found.map((row) => ({ ...row })),
      columns: [
        { key: 'tenant_id', title: 'Tenant', kind: 'text' },
        { key: 'events', title: 'Events', kind: 'count' },
        { key: 'bytes', title: 'Stored', kind: 'bytes' },
        { key: 'bytes_received', title: 'Received', kind: 'bytes' },
        { key: 'last_hour', title: 'Last hour (UTC)', kind: 'text', whole: true },
      ],
      ...(found.length === 0
        ? {
            notes: [
              rows.length === 0
                ? 'No tenant has metered events yet: infrasage ingest FILE'
                : `The tenant ${tenant} has no metered events.`,
            ],
          }
        : {}),
    });
  });
};
