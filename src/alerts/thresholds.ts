import { z } from 'zod';
import { type Store, sqlTime, uint64 } from '../store/store.ts';

/** A usage alert: fires when a tenant's month reaches a share of its quota. */
export interface Threshold {
  id: string;
  /** '' applies to every tenant that has no alerts of its own. */
  tenantId: string;
  /** 1 to 1000, at most two decimals. */
  percent: number;
  /** Where it is sent; none of these: shown in reports only. */
  email: string | null;
  slack: boolean;
  webhook: string | null;
  /** Counts the changes of this alert; the row with the highest is in force. */
  version: bigint;
}

const thresholdRow = z
  .object({
    id: z.string(),
    tenant_id: z.string(),
    threshold_percent: z.coerce.number(),
    notify_email: z.string(),
    notify_slack: z.coerce.boolean(),
    notify_webhook: z.string(),
    version: uint64,
  })
  .transform(
    (row): Threshold => ({
      id: row.id,
      tenantId: row.tenant_id,
      percent: row.threshold_percent,
      email: row.notify_email || null,
      slack: row.notify_slack,
      webhook: row.notify_webhook || null,
      version: row.version,
    }),
  );

/** The alerts in force, of one tenant or of all, by tenant and percent. */
export async function listThresholds(store: Store, tenantId: string | null): Promise<Threshold[]> {
  return store.query(
    `SELECT id, tenant_id, threshold_percent, notify_email, notify_slack, notify_webhook, version
    FROM {{db}}.infrasage_alert_thresholds FINAL
    WHERE NOT deleted ${tenantId === null ? '' : 'AND tenant_id = {tenant:String}'}
    ORDER BY tenant_id, threshold_percent`,
    thresholdRow,
    { tenant: tenantId ?? '' },
  );
}

/**
 * Stores an alert. The same percent of the same tenant again updates it, and keeps its id.
 * @returns the alert as stored, and whether there was one before
 */
export async function addThreshold(
  store: Store,
  wanted: Omit<Threshold, 'id' | 'version'>,
  { now, newId }: { now: Date; newId: () => string },
): Promise<{ threshold: Threshold; updated: boolean }> {
  const before = (await listThresholds(store, wanted.tenantId)).find((t) => t.percent === wanted.percent);
  const threshold: Threshold = {
    ...wanted,
    id: before?.id ?? newId(),
    version: (before?.version ?? 0n) + 1n,
  };
  await put(store, threshold, { deleted: false, now });
  return { threshold, updated: before !== undefined };
}

/**
 * Removes an alert by its id or its percent.
 * @returns the alert that was removed; undefined where there was none
 */
export async function removeThreshold(
  store: Store,
  { tenantId, idOrPercent, now }: { tenantId: string | null; idOrPercent: string; now: Date },
): Promise<Threshold | undefined> {
  const all = await listThresholds(store, tenantId);
  const found =
    all.find((t) => t.id === idOrPercent) ??
    all.find((t) => t.tenantId === (tenantId ?? '') && t.percent === Number(idOrPercent.replace(/%$/, '')));
  if (found) await put(store, { ...found, version: found.version + 1n }, { deleted: true, now });
  return found;
}

async function put(
  store: Store,
  threshold: Threshold,
  { deleted, now }: { deleted: boolean; now: Date },
): Promise<void> {
  await store.insert('infrasage_alert_thresholds', {
    id: threshold.id,
    tenant_id: threshold.tenantId,
    threshold_percent: threshold.percent.toFixed(2),
    notify_email: threshold.email ?? '',
    notify_slack: threshold.slack ? 1 : 0,
    notify_webhook: threshold.webhook ?? '',
    deleted: deleted ? 1 : 0,
    version: threshold.version,
    changed_at: sqlTime(now),
  });
}

/** The documented JSON shape of an alert. */
export function thresholdJson({ id, tenantId, percent, email, slack, webhook }: Threshold) {
  return {
    id,
    tenant_id: tenantId || null,
    threshold_percent: percent,
    notify_email: email,
    notify_slack: slack,
    notify_webhook: webhook,
  };
}
