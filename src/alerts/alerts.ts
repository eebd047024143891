import { z } from 'zod';
import { EXIT, InfrasageError } from '../errors.ts';
import { shellWord } from '../settings/place.ts';
import { type Reader, type Store, sqlTime, uint64, utcTime } from '../store/store.ts';
import { ownOrDefault } from './own.ts';

/** Where a firing is sent; with none of these it is shown and kept in the history. */
export interface Channels {
  email: string | null;
  slack: boolean;
  webhook: string | null;
}

interface Stored extends Channels {
  id: string;
  /** '' applies to every tenant that has no alerts of this kind of its own. */
  tenantId: string;
  createdAt: Date;
  /** null: it is in force. */
  removedAt: Date | null;
  /** Counts the changes of this alert; the row with the highest is in force. */
  version: bigint;
}

/** Fires when a tenant's month reaches a share of its quota. */
export interface UsageAlert extends Stored {
  kind: 'usage';
  /** 1 to 1000, at most two decimals. */
  percent: number;
}

/** Fires when a tenant, or a service of it, that was sending stops. */
export interface SilenceAlert extends Stored {
  kind: 'silence';
  /** How long nothing must have come. */
  silentSeconds: number;
  /** '' for any service. */
  serviceId: string;
}

export type Alert = UsageAlert | SilenceAlert;

type Wanted<A extends Alert> = A extends Alert
  ? Omit<A, 'id' | 'version' | 'createdAt' | 'removedAt' | keyof Channels> & {
      [C in keyof Channels]?: Channels[C] | undefined;
    }
  : never;

const alertRow = z
  .object({
    id: z.string(),
    tenant_id: z.string(),
    threshold_percent: z.coerce.number(),
    silent_seconds: z.coerce.number(),
    service_id: z.string(),
    notify_email: z.string(),
    notify_slack: z.coerce.boolean(),
    notify_webhook: z.string(),
    created_at: utcTime,
    changed_at: utcTime,
    deleted: z.coerce.boolean(),
    version: uint64,
  })
  .transform((row): Alert => {
    const stored = {
      id: row.id,
      tenantId: row.tenant_id,
      email: row.notify_email || null,
      slack: row.notify_slack,
      webhook: row.notify_webhook || null,
      createdAt: row.created_at,
      removedAt: row.deleted ? row.changed_at : null,
      version: row.version,
    };
    return row.silent_seconds > 0
      ? { kind: 'silence', ...stored, silentSeconds: row.silent_seconds, serviceId: row.service_id }
      : { kind: 'usage', ...stored, percent: row.threshold_percent };
  });

/**
 * The alerts in force, of one tenant or of all, by tenant and percent, those on silence last.
 * @param options.removed also those that were removed
 */
export async function listAlerts(
  store: Reader,
  tenantId: string | null,
  { removed = false }: { removed?: boolean } = {},
): Promise<Alert[]> {
  return store.query(
    `SELECT id, tenant_id, threshold_percent, silent_seconds, service_id, notify_email, notify_slack, notify_webhook, created_at, changed_at, deleted, version
    FROM {{db}}.infrasage_alert_thresholds FINAL
    WHERE ${removed ? 'true' : 'NOT deleted'} ${tenantId === null ? '' : 'AND tenant_id = {tenant:String}'}
    ORDER BY tenant_id, silent_seconds > 0, threshold_percent, service_id, silent_seconds`,
    alertRow,
    { tenant: tenantId ?? '' },
  );
}

/** Those of a list that apply to a tenant: its own, or where it has none, the default ones. */
export function applying<A extends { tenantId: string }>(alerts: readonly A[], tenantId: string): A[] {
  const own = (owner: string) => {
    const theirs = alerts.filter((alert) => alert.tenantId === owner);
    return theirs.length > 0 ? theirs : undefined;
  };
  return ownOrDefault(own, tenantId) ?? [];
}

/** Whether an alert is in force; at a time in the past, whether it was then. */
export function isInForce({ createdAt, removedAt }: Alert, at?: Date): boolean {
  if (at === undefined) return removedAt === null;
  return createdAt < at && (removedAt === null || removedAt >= at);
}

/**
 * Stores an alert. The same threshold of the same tenant, or the same silence of
 * the same service, again updates it, and keeps its id; a channel that is not
 * given stays as it is.
 * @returns the alert as stored, and what it was before; undefined where there was none
 */
export async function addAlert(
  store: Store,
  wanted: Wanted<Alert>,
  { now, newId }: { now: Date; newId: () => string },
): Promise<{ alert: Alert; before: Alert | undefined }> {
  return store.exclusively('alerts', async () => {
    const before = (await listAlerts(store, wanted.tenantId)).find((alert) => isSame(alert, wanted));
    const alert: Alert = {
      ...wanted,
      ...channelsOf(wanted, before),
      id: before?.id ?? newId(),
      createdAt: before?.createdAt ?? now,
      removedAt: null,
      version: (before?.version ?? 0n) + 1n,
    };
    await put(store, alert, now);
    return { alert, before };
  });
}

/** The channels that are wanted; where nothing is said of one, as it was. */
function channelsOf(wanted: Wanted<Alert>, before: Channels | undefined): Channels {
  const { email = before?.email ?? null, slack = before?.slack ?? false } = wanted;
  const { webhook = before?.webhook ?? null } = wanted;
  return { email, slack, webhook };
}

/** Whether the one would update the other, were they of the same tenant. */
export function isSame(alert: Alert, wanted: Wanted<Alert>): boolean {
  return alert.kind === 'usage'
    ? wanted.kind === 'usage' && alert.percent === wanted.percent
    : wanted.kind === 'silence' && alert.serviceId === wanted.serviceId;
}

/**
 * Removes an alert by its id or its percent.
 * @param options.tenantId whose it must be; null: an id may be anyone's, a percent is one of the default alerts
 * @returns the alert that was removed; undefined where there was none
 */
export async function removeAlert(
  store: Store,
  { tenantId, idOrPercent, now }: { tenantId: string | null; idOrPercent: string; now: Date },
): Promise<Alert | undefined> {
  return store.exclusively('alerts', async () => {
    const found = findAlert(await listAlerts(store, tenantId), idOrPercent, tenantId ?? '');
    if (found) await put(store, { ...found, removedAt: now, version: found.version + 1n }, now);
    return found;
  });
}

/**
 * That there is no such alert.
 * @param asked.all the alerts of everybody: who has one at that percent is said
 * @param asked.command what was to be done with it: `remove`
 */
export function noSuchAlert(
  idOrPercent: string,
  { all, command }: { all: readonly Alert[]; command: string },
): InfrasageError {
  const owners = [...new Set(all.map(({ tenantId }) => tenantId))];
  const owner = owners.find((tenantId) => findAlert(all, idOrPercent, tenantId) !== undefined);
  const line = `infrasage alerts ${command} ${idOrPercent}`;
  const hint =
    owner === undefined
      ? 'see infrasage alerts list'
      : owner === ''
        ? `the default one is meant without --tenant: ${line}`
        : `${owner} has one: ${line} --tenant ${shellWord(owner)}`;
  return new InfrasageError(`there is no alert ${idOrPercent}`, { hint, exitStatus: EXIT.usage });
}

/** The alert with an id, or a tenant's at a percent. */
export function findAlert(
  alerts: readonly Alert[],
  idOrPercent: string,
  tenantId: string,
): Alert | undefined {
  const percent = /^\d+(\.\d+)?%?$/.test(idOrPercent) ? Number.parseFloat(idOrPercent) : Number.NaN;
  return (
    alerts.find((alert) => alert.id === idOrPercent) ??
    alerts.find((alert) => alert.kind === 'usage' && alert.tenantId === tenantId && alert.percent === percent)
  );
}

async function put(store: Store, alert: Alert, now: Date): Promise<void> {
  await store.insert('infrasage_alert_thresholds', {
    id: alert.id,
    tenant_id: alert.tenantId,
    threshold_percent: alert.kind === 'usage' ? alert.percent.toFixed(2) : '0',
    silent_seconds: alert.kind === 'silence' ? alert.silentSeconds : 0,
    service_id: alert.kind === 'silence' ? alert.serviceId : '',
    notify_email: alert.email ?? '',
    notify_slack: alert.slack ? 1 : 0,
    notify_webhook: alert.webhook ?? '',
    deleted: alert.removedAt === null ? 0 : 1,
    version: alert.version,
    created_at: sqlTime(alert.createdAt),
    changed_at: sqlTime(now),
  });
}

/** The documented JSON shape of a usage alert; of one on silence, with silent_seconds and service_id in place of the percent. */
export function alertJson(alert: Alert) {
  const of =
    alert.kind === 'usage'
      ? { threshold_percent: alert.percent }
      : { silent_seconds: alert.silentSeconds, service_id: alert.serviceId || null };
  return {
    id: alert.id,
    tenant_id: alert.tenantId || null,
    ...of,
    notify_email: alert.email,
    notify_slack: alert.slack,
    notify_webhook: alert.webhook,
  };
}
