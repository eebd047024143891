import { z } from 'zod';
import { type Reader, uint64 } from '../store/store.ts';

export interface TenantRow {
  tenant_id: string;
  events: bigint;
  /** Compressed bytes as stored. */
  bytes: bigint;
  /** Bytes as sent. */
  bytes_received: bigint;
  /** First and last hour with events, RFC 3339. */
  first_hour: string;
  last_hour: string;
}

/** Every tenant that has metered events, largest first. */
export async function tenants(store: Reader): Promise<TenantRow[]> {
  return store.query(
    `SELECT tenant_id, sum(event_count) AS events, sum(m.bytes_ingested) AS bytes, sum(m.bytes_received) AS bytes_received,
      formatDateTime(min(hour), '%Y-%m-%dT%H:00:00Z') AS first_hour,
      formatDateTime(max(hour), '%Y-%m-%dT%H:00:00Z') AS last_hour
    FROM {{db}}.infrasage_usage_metering AS m
    GROUP BY tenant_id
    ORDER BY events DESC, tenant_id`,
    z.object({
      tenant_id: z.string(),
      events: uint64,
      bytes: uint64,
      bytes_received: uint64,
      first_hour: z.string(),
      last_hour: z.string(),
    }),
  );
}

/** Names of tenants with metered events that begin alike, in order; enough of them to choose from. */
export async function tenantsLike(
  store: Reader,
  { prefix, limit }: { prefix: string; limit: number },
): Promise<string[]> {
  const rows = await store.query(
    `SELECT DISTINCT tenant_id FROM {{db}}.infrasage_usage_metering
    WHERE startsWith(tenant_id, {prefix:String}) ORDER BY tenant_id LIMIT {limit:UInt32}`,
    z.object({ tenant_id: z.string() }),
    { prefix, limit },
  );
  return rows.map(({ tenant_id }) => tenant_id);
}

/** Names that are looked at for one that may have been meant. */
const MOST_NAMES = 10_000;

/**
 * Whether a tenant has never sent events while others have.
 * @returns undefined where it has, or nobody has; else the name that may have been meant, or null
 */
export async function unknownTenant(
  store: Reader,
  tenantId: string,
): Promise<{ near: string | null } | undefined> {
  const rows = await store.query(
    `SELECT tenant_id FROM {{db}}.infrasage_usage_metering
    GROUP BY tenant_id ORDER BY tenant_id = {tenant:String} DESC, tenant_id LIMIT {limit:UInt32}`,
    z.object({ tenant_id: z.string() }),
    { tenant: tenantId, limit: MOST_NAMES },
  );
  const names = rows.map(({ tenant_id }) => tenant_id);
  const [first] = names;
  if (first === undefined || first === tenantId) return undefined;
  const { closest, distance } = await import('fastest-levenshtein');
  const lower = tenantId.toLowerCase();
  const nearest = closest(tenantId, names);
  const isNear =
    nearest.toLowerCase() === lower || distance(tenantId, nearest) <= Math.ceil(tenantId.length / 4);
  const longer = names.find((name) => name.toLowerCase().startsWith(lower));
  return { near: isNear ? nearest : (longer ?? null) };
}
