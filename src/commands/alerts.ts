import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import {
  type Alert,
  addAlert,
  alertJson,
  type Channels,
  isSame,
  listAlerts,
  noSuchAlert,
  removeAlert,
} from '../alerts/alerts.ts';
import { assertWebhookUrl } from '../alerts/channels/address.ts';
import { channelSettings, missingSettings } from '../alerts/channels/settings.ts';
import { shownTarget } from '../alerts/history.ts';
import { span } from '../alerts/message.ts';
import { type Quotas, readQuotas } from '../alerts/quotas.ts';
import { usageError } from '../errors.ts';
import { parseSpan } from '../period.ts';
import type { Report, Row } from '../render/report.ts';
import { plural } from '../render/text.ts';
import { shellWord } from '../settings/place.ts';
import * as checking from './alerts-check.ts';
import * as looking from './alerts-history.ts';
import * as settling from './alerts-undelivered.ts';
import { parsePercent } from './amounts.ts';
import { type CommandModule, examples } from './command.ts';
import { sayIfUnknown } from './unknown-tenant.ts';

/** A place that is given, or false with --no-…: null; undefined where nothing is said of it. */
function channel(place: z.ZodType<string>) {
  return z.preprocess((given) => (given === false ? null : given), place.nullable().optional());
}

const optionsSchema = z.object({
  email: channel(z.email({ error: ({ input }) => `--email ${String(input)} is not an e-mail address` })),
  slack: z.boolean().optional(),
  webhook: channel(z.string()),
  silentFor: z.string().optional(),
  service: z.string().min(1, '--service must not be empty').optional(),
});

export const configure: CommandModule['configure'] = (command, act) => {
  examples(command, [
    'infrasage alerts add 80',
    'infrasage alerts add 95 --tenant acme-corp --email billing@acme.example --slack',
    'infrasage alerts add --silent-for 2h --service payment-api --email ops@acme.example',
    'infrasage alerts list',
    'infrasage alerts check',
    'infrasage alerts test 95 --tenant acme-corp',
    'infrasage alerts history --since 30d',
    'infrasage alerts undelivered',
    'infrasage alerts simulate 50 80 95 --months 6',
    'infrasage alerts remove 80',
  ]);
  const add = command
    .command('add [percent]')
    .description(
      'Store a usage threshold, percent of the monthly quota (1 to 1000), or with --silent-for, an alert on silence. The same again updates it; a channel that is not given stays as it is.',
    )
    .option('--email <address>', 'notify this address')
    .option('--slack', 'notify the Slack channel')
    .option('--webhook <url>', 'notify this https URL')
    .option('--no-email', 'of an alert that is there: no address any more')
    .option('--no-slack', 'likewise the Slack channel')
    .option('--no-webhook', 'likewise the URL')
    .option(
      '--silent-for <span>',
      'fire when a tenant that was sending has sent nothing for so long, e.g. 2h',
    )
    .option('--service <id>', 'with --silent-for: when this service of it has');
  act<Record<string, unknown>, [string?]>(add, async (context, given, percent) => {
    const parsed = optionsSchema.safeParse(given);
    if (!parsed.success) throw usageError(parsed.error.issues[0]?.message ?? 'wrong options');
    const { email, slack, webhook, silentFor, service } = parsed.data;
    if (webhook != null) assertWebhookUrl(webhook, channelSettings(context.io.env).webhookAllowHosts);
    const tenantId = context.config.tenant ?? '';
    const kind = kindOf({ percent, silentFor, service });
    const store = await context.storeToWrite();
    const { alert, before } = await addAlert(
      store,
      { ...kind, tenantId, email, slack, webhook },
      { now: context.now, newId: () => randomBytes(6).toString('hex') },
    );
    await sayIfUnknown(context, { store, tenantId });
    const all = await listAlerts(store, null);
    return context.print({
      data: alertJson(alert),
      ...table([alert]),
      notes: [
        `${before ? 'Updated' : 'Added'}: an alert ${condition(alert)}.`,
        ...(before ? [changeWords(alert, before)] : []),
        ...(before ? [] : replacedNotes(alert, all)),
        ...(alert.kind === 'usage' ? quotaNotes(await readQuotas(store), alert, all) : []),
        ...channelNotes(alert, context.io.env),
      ],
    });
  });
  const list = command.command('list').description('List the stored alerts.');
  act(list, async (context) => {
    const all = await listAlerts(await context.store(), context.config.tenant ?? null);
    return context.print({
      data: { alerts: all.map(alertJson) },
      ...table(all),
      ...(all.length === 0 ? { notes: [`No alert is stored: ${context.commandLine('alerts add 80')}`] } : {}),
    });
  });
  const remove = command
    .command('remove <id-or-percent>')
    .description('Remove an alert by its id, or a threshold by its percent.');
  act<object, [string]>(remove, async (context, _, idOrPercent) => {
    const tenantId = context.config.tenant ?? null;
    const store = await context.storeToChange();
    const removed = await removeAlert(store, { tenantId, idOrPercent, now: context.now });
    if (!removed) throw noSuchAlert(idOrPercent, { all: await listAlerts(store, null), command: 'remove' });
    return context.print({
      data: alertJson(removed),
      ...table([removed]),
      notes: [`Removed: the alert ${condition(removed)}.`],
    });
  });
  checking.configure(command, act);
  looking.configure(command, act);
  settling.configure(command, act);
};

function kindOf({
  percent,
  silentFor,
  service,
}: {
  percent: string | undefined;
  silentFor: string | undefined;
  service: string | undefined;
}) {
  if (silentFor !== undefined) {
    if (percent !== undefined)
      throw usageError('an alert is on a percentage or on silence, not on both', 'add two alerts');
    const silentSeconds = Math.round(parseSpan(silentFor, '--silent-for') / 1000);
    return { kind: 'silence', silentSeconds, serviceId: service ?? '' } as const;
  }
  if (service !== undefined) throw usageError('--service needs --silent-for');
  if (percent === undefined)
    throw usageError('the alert needs a percentage or --silent-for', 'infrasage alerts add 80');
  return { kind: 'usage', percent: parsePercent(percent) } as const;
}

/** When an alert fires: `at 80 % of the monthly quota of every tenant`. */
function condition(alert: Alert): string {
  const whose = alert.tenantId || (alert.kind === 'usage' ? 'every tenant' : 'any tenant');
  if (alert.kind === 'usage') return `at ${alert.percent} % of the monthly quota of ${whose}`;
  const who = alert.serviceId ? `the service ${alert.serviceId} of ${whose}` : whose;
  return `when ${who} has sent nothing for ${span(alert.silentSeconds)}`;
}

/** With the first alert of its own, a tenant has lost the default ones of that kind. */
function replacedNotes(added: Alert, all: readonly Alert[]): string[] {
  const alike = all.filter(({ kind, id }) => kind === added.kind && id !== added.id);
  if (added.tenantId === '' || alike.some(({ tenantId }) => tenantId === added.tenantId)) return [];
  const lost = alike.filter((alert) => alert.tenantId === '' && !isSame(alert, added));
  if (lost.length === 0) return [];
  const commands = lost.map(
    (alert) =>
      `infrasage alerts add ${[what(alert), ...channelFlags(alert)].join(' ')} --tenant ${shellWord(added.tenantId)}`,
  );
  return [
    `Alerts of its own replace the default ones: ${lost.map(named).join(', ')} no longer ${lost.length > 1 ? 'apply' : 'applies'} to ${added.tenantId}. To keep ${lost.length > 1 ? 'them' : 'it'}: ${commands.join('; ')}`,
  ];
}

function named(alert: Alert): string {
  return alert.kind === 'usage' ? `${alert.percent} %` : what(alert);
}

/** What `alerts add` is given for it. */
function what(alert: Alert): string {
  if (alert.kind === 'usage') return String(alert.percent);
  return `--silent-for ${span(alert.silentSeconds)}${alert.serviceId ? ` --service ${shellWord(alert.serviceId)}` : ''}`;
}

/** The flags of `alerts add` that give an alert its channels. */
function channelFlags({ email, slack, webhook }: Channels): string[] {
  return [
    ...(email === null ? [] : [`--email ${shellWord(email)}`]),
    ...(slack ? ['--slack'] : []),
    ...(webhook === null ? [] : [`--webhook ${shellWord(webhook)}`]),
  ];
}

/** The channels of an alert that was updated, and what they were. */
function changeWords(alert: Alert, before: Alert): string {
  const [now, then] = [channelWords(alert), channelWords(before)];
  return now === then ? `Its channels are as before: ${now}.` : `Its channels are ${now}; they were ${then}.`;
}

function channelWords({ email, slack, webhook }: Alert): string {
  const all = [
    ...(email === null ? [] : [`e-mail to ${email}`]),
    ...(slack ? ['Slack'] : []),
    ...(webhook === null ? [] : [`the webhook ${shownTarget('webhook', webhook)}`]),
  ];
  return all.join(', ') || 'none';
}

/**
 * Whether the alert has a quota to be held against. Of one for every tenant, where quotas are of single tenants: which
 * of them it is held against, as alerts of their own take its place.
 */
function quotaNotes(quotas: Quotas, { tenantId }: Alert, all: readonly Alert[]): string[] {
  const { events, bytes } = quotas.of(tenantId);
  if (events !== null || bytes !== null) return [];
  const withQuota = tenantId === '' ? quotas.all.map((quota) => quota.tenantId) : [];
  if (withQuota.length === 0) {
    const whose = tenantId ? ` --tenant ${shellWord(tenantId)}` : '';
    return [`No quota is set, so it cannot fire yet: infrasage quota set 100M${whose}`];
  }
  const usage = all.filter(({ kind }) => kind === 'usage');
  const applies = withQuota.filter((tenant) => !usage.some((alert) => alert.tenantId === tenant));
  const others = 'infrasage quota set 100M sets a quota for all others.';
  return applies.length > 0
    ? [`It applies to ${plural(applies.length, 'tenant')} with a quota: ${someOf(applies)}; ${others}`]
    : [
        `It applies to no tenant yet: of those with a quota, each has alerts of its own (${someOf(withQuota)}); ${others}`,
      ];
}

/** Tenants that are named in a note; of more, the number is given. */
const MOST_NAMED = 10;

function someOf(tenants: readonly string[]): string {
  const rest = tenants.length - MOST_NAMED;
  return `${tenants.slice(0, MOST_NAMED).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

/** What is missing for its channels to be sent to. */
function channelNotes(alert: Alert, env: Parameters<typeof channelSettings>[0]): string[] {
  const missing = missingSettings(alert, channelSettings(env));
  return missing.length === 0 ? [] : [`Not set here, and needed to send it: ${missing.join(', ')}`];
}

/** The table has in words what the columns of other formats have apart. */
function table(alerts: readonly Alert[]): Pick<Report, 'rows' | 'columns' | 'tableColumns' | 'wrap'> {
  const rows = alerts.map(alertJson);
  const inWords = (words: (alert: Alert) => string) => (row: Row) => {
    const alert = alerts.find(({ id }) => id === row.id);
    return alert ? words(alert) : '';
  };
  return {
    rows,
    columns: alerts.some(({ kind }) => kind === 'silence') ? [...COLUMNS, ...SILENCE_COLUMNS] : COLUMNS,
    tableColumns: [
      { key: 'id', title: 'Id', kind: 'text', whole: true },
      { key: 'tenant_id', title: 'Tenant (- = any)', kind: 'text' },
      { key: 'threshold_percent', title: 'Fires', kind: 'text', shown: inWords(fires) },
      { key: 'notify_email', title: 'Tells', kind: 'text', shown: inWords(tells) },
    ],
    wrap: true,
  };
}

function fires(alert: Alert): string {
  if (alert.kind === 'usage') return `at ${alert.percent} %`;
  return `${alert.serviceId ? `${alert.serviceId} ` : ''}silent for ${span(alert.silentSeconds)}`;
}

/** The places of an alert, each as it was given. */
function tells({ email, slack, webhook }: Alert): string {
  return [email, slack ? 'Slack' : null, webhook].filter(Boolean).join(', ') || '-';
}

const COLUMNS = [
  { key: 'id', title: 'Id', kind: 'text', whole: true },
  { key: 'tenant_id', title: 'Tenant', kind: 'text' },
  { key: 'threshold_percent', title: 'At %', kind: 'number' },
  { key: 'notify_email', title: 'E-mail', kind: 'text' },
  { key: 'notify_slack', title: 'Slack', kind: 'text' },
  { key: 'notify_webhook', title: 'Webhook', kind: 'text' },
] as const;

const SILENCE_COLUMNS = [
  { key: 'silent_seconds', title: 'Silent s', kind: 'count' },
  { key: 'service_id', title: 'Service', kind: 'text' },
] as const;
