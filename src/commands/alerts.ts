import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { type Quotas, quotas } from '../alerts/quotas.ts';
import {
  addThreshold,
  listThresholds,
  removeThreshold,
  type Threshold,
  thresholdJson,
} from '../alerts/thresholds.ts';
import { EXIT, InfrasageError, usageError } from '../errors.ts';
import type { Row } from '../render/report.ts';
import { type CommandModule, examples } from './command.ts';

const percentSchema = z
  .string()
  .regex(/^\d{1,4}(\.\d{1,2})?%?$/)
  .transform((text) => Number(text.replace('%', '')))
  .refine((percent) => percent >= 1 && percent <= 1000);

const channels = z.object({
  email: z.email({ error: '--email must be an e-mail address' }).optional(),
  slack: z.boolean().default(false),
  webhook: z.url({ protocol: /^https$/, error: '--webhook must be an https URL' }).optional(),
});

export const configure: CommandModule['configure'] = (command, act) => {
  examples(command, [
    'infrasage alerts add 80',
    'infrasage alerts add 95 --tenant acme-corp --email billing@acme.example --slack',
    'infrasage alerts list',
    'infrasage alerts remove 80',
  ]);
  const add = command
    .command('add <percent>')
    .description(
      'Store a usage threshold, percent of the monthly quota (1 to 1000). The same percent again updates it.',
    )
    .option('--email <address>', 'notify this address')
    .option('--slack', 'notify the Slack channel')
    .option('--webhook <url>', 'notify this https URL');
  act<Record<string, unknown>, [string]>(add, async (context, given, text) => {
    const percent = percentSchema.safeParse(text);
    if (!percent.success)
      throw usageError(`${text} is not a percentage from 1 to 1000`, 'write it like 80 or 99.5');
    const parsed = channels.safeParse(given);
    if (!parsed.success) throw usageError(parsed.error.issues[0]?.message ?? 'wrong options');
    const { email, slack, webhook } = parsed.data;
    const store = await context.storeToWrite();
    const tenantId = context.config.tenant ?? '';
    const { threshold, updated } = await addThreshold(
      store,
      { tenantId, percent: percent.data, email: email ?? null, slack, webhook: webhook ?? null },
      { now: context.now, newId: () => randomBytes(6).toString('hex') },
    );
    const found = await quotas(store);
    return context.print({
      data: thresholdJson(threshold),
      rows: [thresholdCells(threshold)],
      columns: COLUMNS,
      notes: [
        `${updated ? 'Updated' : 'Added'}: an alert at ${threshold.percent} % of the monthly quota of ${tenantId || 'every tenant'}.`,
        ...quotaNotes(found, tenantId),
      ],
    });
  });
  const list = command.command('list').description('List the stored thresholds.');
  act(list, async (context) => {
    const all = await listThresholds(await context.store(), context.config.tenant ?? null);
    return context.print({
      data: { alerts: all.map(thresholdJson) },
      rows: all.map(thresholdCells),
      columns: COLUMNS,
      ...(all.length === 0 ? { notes: ['No alert is stored: infrasage alerts add 80'] } : {}),
    });
  });
  const remove = command
    .command('remove <id-or-percent>')
    .description('Remove a threshold by its id or its percent.');
  act<object, [string]>(remove, async (context, _, idOrPercent) => {
    const removed = await removeThreshold(await context.storeToWrite(), {
      tenantId: context.config.tenant ?? null,
      idOrPercent,
      now: context.now,
    });
    if (!removed) {
      throw new InfrasageError(`there is no alert ${idOrPercent}`, {
        hint: 'see infrasage alerts list',
        exitStatus: EXIT.usage,
      });
    }
    return context.print({
      data: thresholdJson(removed),
      rows: [thresholdCells(removed)],
      columns: COLUMNS,
      notes: ['Removed.'],
    });
  });
};

/** Whether the alert has a quota to be held against. */
function quotaNotes({ of, all }: Quotas, tenantId: string): string[] {
  if (of(tenantId) !== null) return [];
  if (tenantId === '' && all.length > 0) {
    return [
      `Only tenants with a quota of their own (${all.length}) have one: infrasage quota set 100M sets it for all others.`,
    ];
  }
  return ['No quota is set, so it cannot fire yet: infrasage quota set 100M'];
}

const COLUMNS = [
  { key: 'id', title: 'Id', kind: 'text', whole: true },
  { key: 'tenant_id', title: 'Tenant', kind: 'text' },
  { key: 'threshold_percent', title: 'At %', kind: 'number' },
  { key: 'notify_email', title: 'E-mail', kind: 'text' },
  { key: 'notify_slack', title: 'Slack', kind: 'text' },
  { key: 'notify_webhook', title: 'Webhook', kind: 'text' },
] as const;

function thresholdCells(threshold: Threshold): Row {
  return thresholdJson(threshold);
}
