import { z } from 'zod';
import { type Store, sqlTime, uint64 } from '../store/store.ts';

/** Monthly event quotas: a tenant's own, or the default for all. */
export interface Quotas {
  /** The quota in force for a tenant; null for none. */
  of(tenantId: string): bigint | null;
  all: { tenantId: string; monthlyEvents: bigint }[];
}

/** The quotas in force. tenantId '' is the default for every tenant without one. */
export async function quotas(store: Store): Promise<Quotas> {
  const rows = await store.query(
    'SELECT tenant_id, monthly_events FROM {{db}}.infrasage_quotas FINAL WHERE NOT deleted ORDER BY tenant_id',
    z.object({ tenant_id: z.string(), monthly_events: uint64 }),
  );
  const all = rows.map((row) => ({ tenantId: row.tenant_id, monthlyEvents: row.monthly_events }));
  const find = (tenantId: string) => all.find((quota) => quota.tenantId === tenantId)?.monthlyEvents;
  return { all, of: (tenantId) => find(tenantId) ?? find('') ?? null };
}

/**
 * Sets a tenant's monthly quota, or the default with tenantId ''.
 * @returns the quota it had itself before; null for none
 */
export async function setQuota(
  store: Store,
  tenantId: string,
  monthlyEvents: bigint,
  now: Date,
): Promise<bigint | null> {
  return put(store, tenantId, { monthlyEvents, deleted: false, now });
}

/**
 * Removes a tenant's own quota, or the default with tenantId ''.
 * @returns the quota it had itself; null where there was none
 */
export async function unsetQuota(store: Store, tenantId: string, now: Date): Promise<bigint | null> {
  return put(store, tenantId, { monthlyEvents: 0n, deleted: true, now });
}

async function put(
  store: Store,
  tenantId: string,
  { monthlyEvents, deleted, now }: { monthlyEvents: bigint; deleted: boolean; now: Date },
): Promise<bigint | null> {
  const [before] = await store.query(
    'SELECT monthly_events, deleted, version FROM {{db}}.infrasage_quotas FINAL WHERE tenant_id = {tenant:String}',
    z.object({ monthly_events: uint64, deleted: z.coerce.boolean(), version: uint64 }),
    { tenant: tenantId },
  );
  await store.insert('infrasage_quotas', {
    tenant_id: tenantId,
    monthly_events: monthlyEvents,
    deleted: deleted ? 1 : 0,
    version: (before?.version ?? 0n) + 1n,
    changed_at: sqlTime(now),
  });
  return before && !before.deleted ? before.monthly_events : null;
}
