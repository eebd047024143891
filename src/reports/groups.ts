import { z } from 'zod';
import type { Period } from '../period.ts';
import { type Store, uint64 } from '../store/store.ts';
import {
  type AttributeGrouping,
  attributeKey,
  decodeKey,
  isAttribute,
  type Kind,
  rawGroups,
} from './grouping.ts';
import { inScope, scopeParams } from './scope.ts';

/** What was metered of a tenant's group. */
export interface MeteredGroup {
  tenant: string;
  /** null where it is not of a value. */
  key: string | null;
  kind: Kind;
  events: bigint;
  /** Compressed bytes as stored. */
  bytes: bigint;
}

/** Groupings of which every event is in one group. */
export const GROUPS = ['event_type', 'service_id'] as const;
export type GroupsBy = (typeof GROUPS)[number] | AttributeGrouping;

/**
 * All that was metered of a period, in groups of each tenant, in the order of their names; what is in none of them any
 * more, as its raw rows were removed by their age, is 'unattributed'.
 */
export async function meteredGroups(
  store: Store,
  { groupBy, ...scope }: { tenantId: string | null; period: Period; groupBy: GroupsBy },
): Promise<MeteredGroup[]> {
  const metering = '{{db}}.infrasage_usage_metering';
  const groups =
    groupBy === 'event_type'
      ? `SELECT toString(tenant_id) AS tenant, concat('0', event_type) AS key, sum(event_count) AS events, sum(bytes_ingested) AS bytes
        FROM ${metering} WHERE ${inScope(scope)} GROUP BY tenant, key`
      : rawGroups(
          groupBy,
          { metered: inScope(scope), raw: inScope(scope, 'toStartOfHour(timestamp)') },
          metering,
        );
  const rows = await store.query(
    `${groups} ORDER BY tenant, key`,
    z.object({ tenant: z.string(), key: z.string(), events: uint64, bytes: uint64 }),
    { ...scopeParams(scope), key: isAttribute(groupBy) ? attributeKey(groupBy) : '' },
  );
  return rows.map(({ tenant, key, events, bytes }) => ({ tenant, ...decodeKey(key), events, bytes }));
}
