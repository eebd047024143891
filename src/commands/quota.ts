import { quotas, setQuota, unsetQuota } from '../alerts/quotas.ts';
import { usageError } from '../errors.ts';
import { plural } from '../render/text.ts';
import { type CommandModule, examples } from './command.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  examples(command, [
    'infrasage quota set 100M --tenant acme-corp',
    'infrasage quota set 1000000',
    'infrasage quota show',
  ]);
  const set = command
    .command('set <events>')
    .description(
      'Set the monthly events of --tenant, or without it, of every tenant that has no quota of its own: 1000000, 100M, 2.5B.',
    );
  act<object, [string]>(set, async (context, _, events) => {
    const tenantId = context.config.tenant ?? '';
    const monthlyEvents = parseEvents(events);
    await setQuota(await context.storeToWrite(), tenantId, monthlyEvents, context.now);
    return context.print({
      data: { tenant_id: tenantId || null, monthly_events: monthlyEvents },
      rows: [{ tenant_id: tenantId || null, monthly_events: monthlyEvents }],
      columns: COLUMNS,
      notes: [
        `Set for ${tenantId || 'every tenant without a quota of its own'}: ${plural(monthlyEvents, 'event')} a month.`,
      ],
    });
  });
  const show = command.command('show').description('Show the quotas in force.');
  act(show, async (context) => {
    const { tenant } = context.config;
    const { all: every } = await quotas(await context.store());
    const own = every.filter((quota) => tenant === undefined || quota.tenantId === tenant);
    // A tenant without a quota of its own has the default.
    const all = own.length > 0 ? own : every.filter((quota) => quota.tenantId === '');
    const rows = all.map(({ tenantId, monthlyEvents }) => ({
      tenant_id: tenantId || null,
      monthly_events: monthlyEvents,
    }));
    return context.print({
      data: { quotas: rows },
      rows,
      columns: COLUMNS,
      ...(rows.length === 0 ? { notes: ['No quota is set: infrasage quota set 100M'] } : {}),
    });
  });
  const unset = command
    .command('unset')
    .description('Remove the quota of --tenant, or without it, the default.');
  act(unset, async (context) => {
    const tenantId = context.config.tenant ?? '';
    const before = await unsetQuota(await context.storeToWrite(), tenantId, context.now);
    return context.print({
      data: { tenant_id: tenantId || null, monthly_events: null },
      rows: [],
      columns: COLUMNS,
      notes: [
        before === null ? 'There was no quota to remove.' : `Removed: ${plural(before, 'event')} a month.`,
      ],
    });
  });
};

const COLUMNS = [
  { key: 'tenant_id', title: 'Tenant (- = default)', kind: 'text' },
  { key: 'monthly_events', title: 'Events a month', kind: 'count' },
] as const;

const SCALE: Record<string, bigint> = {
  '': 1n,
  K: 1_000n,
  M: 1_000_000n,
  B: 1_000_000_000n,
  T: 1_000_000_000_000n,
};

/** A number of events: 1000000, 1_000_000, 100M, 2.5B. Exact: a fraction of an event is refused. */
function parseEvents(text: string): bigint {
  const [, whole = '', fraction = '', unit = ''] = /^(\d[\d_]*)(?:\.(\d{1,12}))?([KMBT]?)$/i.exec(text) ?? [];
  const scale = SCALE[unit.toUpperCase()] ?? 1n;
  const base = 10n ** BigInt(fraction.length);
  const scaled = whole === '' ? 0n : BigInt(whole.replaceAll('_', '') + fraction) * scale;
  if (scaled <= 0n || scaled % base !== 0n || scaled / base >= 2n ** 64n) {
    throw usageError(`${text} is not a number of events`, 'write it like 1000000, 100M or 2.5B');
  }
  return scaled / base;
}
