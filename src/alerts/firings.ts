import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type Reader, type Store, sqlTime, uint64, utcTime } from '../store/store.ts';
import type { Channels } from './alerts.ts';
import { DIMENSIONS, type Dimension, type FiredUsage, type UsageFiring } from './evaluate.ts';
import type { LastSilence, SilenceFiring } from './silence.ts';

/** A firing as stored, with the channels that its alert had then. */
export interface Firing extends Channels {
  id: string;
  /** Its evaluation: the firings of one are sent together. */
  digest: string;
  /** test: what `alerts test` has sent. */
  kind: 'usage' | 'silent' | 'recovered' | 'test';
  alertId: string;
  tenantId: string;
  firedAt: Date;
  usage: {
    percent: number;
    /** 2026-11 */
    month: string;
    dimension: Dimension;
    level: bigint;
    used: bigint;
    quota: bigint;
  } | null;
  silence: {
    /** '' for any service. */
    serviceId: string;
    seconds: number;
    lastEventAt: Date;
  } | null;
}

/** Writes what fired in one evaluation: all of it or nothing. */
export async function recordFirings(
  store: Store,
  fired: readonly (UsageFiring | SilenceFiring)[],
  now: Date,
): Promise<Firing[]> {
  if (fired.length === 0) return [];
  // The same firings give the same digest, and so messages with the same keys.
  const digest = createHash('sha256')
    .update(fired.map(({ id }) => id).join())
    .digest('hex')
    .slice(0, 16);
  const firings = fired.map((firing) => toFiring(firing, digest, now));
  await writeFirings(store, firings);
  return firings;
}

/** Stores firings: all of them or none. */
export async function writeFirings(store: Store, firings: readonly Firing[]): Promise<void> {
  await store.insert('infrasage_alert_firings', ...firings.map(toRow));
}

function toFiring(firing: UsageFiring | SilenceFiring, digest: string, firedAt: Date): Firing {
  const { alert } = firing;
  const { email, slack, webhook } = alert;
  const of = { id: firing.id, digest, alertId: alert.id, tenantId: firing.tenantId, firedAt };
  if (firing.kind === 'usage') {
    const { month, dimension, level, used, quota } = firing;
    const usage = { percent: firing.alert.percent, month, dimension, level, used, quota };
    return { ...of, kind: 'usage', email, slack, webhook, usage, silence: null };
  }
  const { serviceId, silentSeconds } = firing.alert;
  const silence = { serviceId, seconds: silentSeconds, lastEventAt: firing.lastEventAt };
  return { ...of, kind: firing.kind, email, slack, webhook, usage: null, silence };
}

function toRow({ usage, silence, ...firing }: Firing) {
  return {
    id: firing.id,
    digest: firing.digest,
    kind: firing.kind,
    alert_id: firing.alertId,
    tenant_id: firing.tenantId,
    service_id: silence?.serviceId ?? '',
    month: usage?.month ?? '',
    dimension: usage?.dimension ?? '',
    threshold_percent: (usage?.percent ?? 0).toFixed(2),
    level: usage?.level ?? 0,
    used: usage?.used ?? 0,
    quota: usage?.quota ?? 0,
    silent_seconds: silence?.seconds ?? 0,
    last_event_at: sqlTime(silence?.lastEventAt ?? new Date(0)),
    fired_at: sqlTime(firing.firedAt),
    notify_email: firing.email ?? '',
    notify_slack: firing.slack ? 1 : 0,
    notify_webhook: firing.webhook ?? '',
  };
}

const firingRow = z
  .object({
    id: z.string(),
    digest: z.string(),
    kind: z.enum(['usage', 'silent', 'recovered', 'test']),
    alert_id: z.string(),
    tenant_id: z.string(),
    service_id: z.string(),
    month: z.string(),
    dimension: z.enum([...DIMENSIONS, '']),
    threshold_percent: z.coerce.number(),
    level: uint64,
    used: uint64,
    quota: uint64,
    silent_seconds: z.coerce.number(),
    last_event_at: utcTime,
    fired_at: utcTime,
    notify_email: z.string(),
    notify_slack: z.coerce.boolean(),
    notify_webhook: z.string(),
  })
  .transform((row): Firing => {
    const { month, dimension, level, used, quota } = row;
    return {
      ...{ id: row.id, digest: row.digest, kind: row.kind, alertId: row.alert_id, tenantId: row.tenant_id },
      firedAt: row.fired_at,
      email: row.notify_email || null,
      slack: row.notify_slack,
      webhook: row.notify_webhook || null,
      usage:
        dimension === '' ? null : { percent: row.threshold_percent, month, dimension, level, used, quota },
      silence:
        row.silent_seconds === 0
          ? null
          : { serviceId: row.service_id, seconds: row.silent_seconds, lastEventAt: row.last_event_at },
    };
  });

/** The firings since a time, latest first; of one tenant or of all. */
export async function readFirings(
  store: Reader,
  { since, tenantId, limit }: { since: Date; tenantId: string | null; limit?: number },
): Promise<Firing[]> {
  return store.query(
    `SELECT * FROM {{db}}.infrasage_alert_firings FINAL
    WHERE fired_at >= toDateTime64({since:String}, 3, 'UTC') ${tenantId === null ? '' : 'AND tenant_id = {tenant:String}'}
    ORDER BY fired_at DESC, tenant_id, month DESC, dimension DESC, threshold_percent DESC, id
    ${limit === undefined ? '' : 'LIMIT {limit:UInt32}'}`,
    firingRow,
    { since: sqlTime(since), tenant: tenantId ?? '', limit: limit ?? 0 },
  );
}

/** What has fired for the months from a first one on: the highest usage that was reported of each threshold. */
export async function firedUsage(store: Store, firstMonth: string): Promise<FiredUsage[]> {
  return store.query(
    `SELECT tenant_id, threshold_percent, month, dimension, max(f.used) AS most
    FROM {{db}}.infrasage_alert_firings AS f
    WHERE kind = 'usage' AND month >= {month:String}
    GROUP BY tenant_id, threshold_percent, month, dimension`,
    z
      .object({
        tenant_id: z.string(),
        threshold_percent: z.coerce.number(),
        month: z.string(),
        dimension: z.enum(DIMENSIONS),
        most: uint64,
      })
      .transform((row) => ({
        tenantId: row.tenant_id,
        percent: row.threshold_percent,
        month: row.month,
        dimension: row.dimension,
        used: row.most,
      })),
    { month: firstMonth },
  );
}

/** The last firing about each tenant or service under each silence alert. */
export async function lastSilences(store: Store): Promise<LastSilence[]> {
  return store.query(
    // Of two at one time, the recovery is the later: a silence begins at an evaluation that finds none open.
    `SELECT alert_id, tenant_id, argMax(kind, (fired_at, kind = 'recovered')) AS last, max(last_event_at) AS event_at
    FROM {{db}}.infrasage_alert_firings WHERE kind IN ('silent', 'recovered')
    GROUP BY alert_id, tenant_id`,
    z
      .object({
        alert_id: z.string(),
        tenant_id: z.string(),
        last: z.enum(['silent', 'recovered']),
        event_at: utcTime,
      })
      .transform((row) => ({
        kind: row.last,
        alertId: row.alert_id,
        tenantId: row.tenant_id,
        lastEventAt: row.event_at,
      })),
  );
}
