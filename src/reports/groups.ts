import { z } from 'zod';
import type { Period } from '../period.ts';
import { type Store, sqlTime, uint64 } from '../store/store.ts';
import { metered } from './as-of.ts';
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
 * @param wanted.asOf as it was at this time
 * @param wanted.limit groups at most; of more, as many and one
 * @throws InfrasageError (exit 3) where what was known then is not known any more
 */
export async function meteredGroups(
  store: Store,
  {
    groupBy,
    asOf,
    limit,
    ...scope
  }: {
    tenantId: string | null;
    period: Period;
    groupBy: GroupsBy;
    asOf?: Date | undefined;
    limit?: number | undefined;
  },
): Promise<MeteredGroup[]> {
  const known = asOf ? ` AND ingested_at <= toDateTime64({as_of:String}, 3, 'UTC')` : '';
  const raw = `${inScope(scope, 'toStartOfHour(timestamp)')}${known}`;
  const rows = await metered(store, { ...scope, asOf }, ({ from, params }) => {
    const groups =
      groupBy === 'event_type'
        ? `SELECT toString(tenant_id) AS tenant, concat('0', event_type) AS key, sum(event_count) AS events, sum(bytes_ingested) AS bytes
          FROM ${from} WHERE ${inScope(scope)} GROUP BY tenant, key`
        : rawGroups(groupBy, { metered: inScope(scope), raw }, from);
    return store.query(
      `${groups} ORDER BY tenant, key${limit === undefined ? '' : ' LIMIT {rows:UInt64}'}`,
      z.object({ tenant: z.string(), key: z.string(), events: uint64, bytes: uint64 }),
      {
        ...{ ...params, ...scopeParams(scope), as_of: sqlTime(asOf ?? scope.period.end) },
        ...{ key: isAttribute(groupBy) ? attributeKey(groupBy) : '', rows: (limit ?? 0) + 1 },
      },
    );
  });
  return rows.map(({ tenant, key, events, bytes }) => ({ tenant, ...decodeKey(key), events, bytes }));
}
