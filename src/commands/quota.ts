import { type Quota, quotaJson, readQuotas, setQuota, unsetQuota } from '../alerts/quotas.ts';
import { usageError } from '../errors.ts';
import { isoTime } from '../period.ts';
import { formatBytes, plural } from '../render/text.ts';
import { parseBytes, parseEvents } from './amounts.ts';
import { type CommandModule, examples } from './command.ts';
import { sayIfUnknown } from './unknown-tenant.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  examples(command, [
    'infrasage quota set 100M --tenant acme-corp',
    'infrasage quota set 1000000 --bytes 500GB',
    'infrasage quota show',
    'infrasage quota show --history',
    'infrasage quota unset --tenant acme-corp',
  ]);
  const set = command
    .command('set [events]')
    .description(
      'Set the monthly events of --tenant, or without it, of every tenant that has no quota of its own: 1000000, 100M, 2.5B. A limit that is not given stays as it is.',
    )
    .option('--bytes <size>', 'monthly bytes as stored: 500GB, 1.5TiB');
  act<{ bytes?: string }, [string?]>(set, async (context, { bytes }, events) => {
    if (events === undefined && bytes === undefined) {
      throw usageError('there is no quota to set', 'infrasage quota set 100M, or --bytes 500GB, or both');
    }
    const tenantId = context.config.tenant ?? '';
    const given = {
      ...(events === undefined ? {} : { events: parseEvents(events) }),
      ...(bytes === undefined ? {} : { bytes: parseBytes(bytes) }),
    };
    const store = await context.storeToWrite();
    const quota = await setQuota(store, tenantId, given, context.now);
    await sayIfUnknown(context, { store, tenantId });
    return context.print({
      data: quotaJson(tenantId, quota),
      rows: [quotaJson(tenantId, quota)],
      columns: COLUMNS,
      notes: [
        `Set for ${tenantId || 'every tenant without a quota of its own'}: ${words(quota, bytes)} a month.`,
      ],
    });
  });
  const show = command
    .command('show')
    .description('Show the quotas in force.')
    .option('--history', 'every change there was');
  act<{ history?: boolean }>(show, async (context, { history }) => {
    const { tenant } = context.config;
    const quotas = await readQuotas(await context.store());
    if (history) {
      const changes = quotas.history
        .filter((change) => tenant === undefined || change.tenantId === tenant)
        .map((change) => ({ changed_at: isoTime(change.at), ...quotaJson(change.tenantId, change) }));
      return context.print({
        data: { changes },
        rows: changes,
        columns: [{ key: 'changed_at', title: 'Changed at', kind: 'text', whole: true }, ...COLUMNS],
        ...(changes.length === 0 ? { notes: ['No quota was ever set.'] } : {}),
      });
    }
    const all = tenant === undefined ? quotas.all : [quotas.applying(tenant) ?? []].flat();
    const rows = all.map((quota) => quotaJson(quota.tenantId, quota));
    return context.print({
      data: { quotas: rows },
      rows,
      columns: COLUMNS,
      ...(rows.length === 0 ? { notes: [`No quota is set: ${context.commandLine('quota set 100M')}`] } : {}),
    });
  });
  const unset = command
    .command('unset')
    .description('Remove the quota of --tenant, or without it, the default.');
  act(unset, async (context) => {
    const tenantId = context.config.tenant ?? '';
    const before = await unsetQuota(await context.storeToChange(), tenantId, context.now);
    return context.print({
      data: quotaJson(tenantId, { events: null, bytes: null }),
      rows: [],
      columns: COLUMNS,
      notes: [before ? `Removed: ${words(before)} a month.` : 'There was no quota to remove.'],
    });
  });
};

const COLUMNS = [
  { key: 'tenant_id', title: 'Tenant (- = default)', kind: 'text' },
  { key: 'monthly_events', title: 'Events a month', kind: 'count' },
  { key: 'monthly_bytes', title: 'Stored bytes a month', kind: 'bytes' },
] as const;

/** @param typed the bytes as they were asked for: 500GB are 465.66 GiB */
function words({ events, bytes }: Quota, typed?: string): string {
  return [
    ...(events === null ? [] : [plural(events, 'event')]),
    ...(bytes === null ? [] : [`${formatBytes(bytes)}${typed === undefined ? '' : ` (${typed})`} stored`]),
  ].join(' and ');
}
