import { z } from 'zod';
import { type Store, uint64 } from '../store/store.ts';

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
export async function tenants(store: Store): Promise<TenantRow[]> {
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
