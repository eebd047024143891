import { z } from 'zod';
import { isoTime, type Period } from '../period.ts';
import { type Params, type Store, sqlTime, uint64 } from '../store/store.ts';
import { metered, refuseWithoutRaw, type Source } from './as-of.ts';
import {
  type AttributeGrouping,
  attributeKey,
  type Conditions,
  decodeKey,
  type Grouping,
  isAttribute,
  isTime,
  type Kind,
  rawGroups,
} from './grouping.ts';
import { inScope, scopeParams } from './scope.ts';

export interface UsageRow {
  /** Set where the report covers more than one tenant. */
  tenant_id?: string;
  /**
   * What it is grouped by; times are RFC 3339, days 2026-11-24, months 2026-11. null where a row by attribute is not of
   * a value.
   */
  key: string | null;
  /** Set where it is grouped by an attribute. */
  kind?: Kind;
  events: bigint;
  /** Compressed bytes as stored. */
  bytes: bigint;
}

export interface Usage {
  /** null: all tenants. */
  tenantId: string | null;
  period: Period;
  groupBy: Grouping;
  /** The time as of which it is told; null: as it is now. */
  asOf: Date | null;
  rows: UsageRow[];
  totalEvents: bigint;
  totalBytes: bigint;
  /** Rows that a limit left out; they are in the totals. */
  omitted: number;
  /** Where a limit has cut the rows off; null where these are the last. */
  next: Position | null;
}

/** A row's place in the order of a breakdown. */
export interface Position {
  events: bigint;
  tenant: string;
  key: string;
}

/** Expression of each grouping over the metering table. */
const METERED: Record<Exclude<Grouping, 'service_id' | AttributeGrouping>, string> = {
  event_type: 'event_type',
  tenant_id: 'tenant_id',
  hour: `formatDateTime(hour, '%Y-%m-%dT%H:00:00Z')`,
  day: `formatDateTime(hour, '%Y-%m-%d')`,
  month: `formatDateTime(hour, '%Y-%m')`,
};

const usageRow = z.object({ tenant: z.string(), key: z.string(), events: uint64, bytes: uint64 });
const totals = z.object({
  total_events: uint64,
  total_bytes: uint64,
  groups: z.coerce.number(),
  /** Whether it is of more than one tenant. */
  several: z.coerce.boolean(),
});
const pageRow = usageRow.extend(totals.shape);
type FoundRow = z.infer<typeof usageRow>;
type Totals = z.infer<typeof totals>;

interface Wanted {
  tenantId: string | null;
  period: Period;
  groupBy: Grouping;
  limit?: number;
  after?: Position | undefined;
  asOf?: Date | undefined;
}

/**
 * Events and compressed bytes of a period, from the metering table; by service
 * from the firehose's projection, which holds the same hours; by attribute from
 * the firehose (see rawGroups). Totals are of the whole period, also with a
 * limit.
 * @param wanted.after only the rows that come after this one
 * @param wanted.asOf as it was at this time
 * @throws InfrasageError (exit 3) where that is not known any more
 */
export async function usage(store: Store, wanted: Wanted): Promise<Usage> {
  if (wanted.groupBy === 'service_id' && wanted.asOf) await refuseWithoutRaw(store, wanted, wanted.asOf);
  return metered(store, wanted, (source) => usageIn(store, source, wanted));
}

async function usageIn(store: Store, source: Source, wanted: Wanted): Promise<Usage> {
  const { period, groupBy, limit, after, asOf } = wanted;
  const inTime = isTime(groupBy);
  const params: Params = {
    ...source.params,
    ...scopeParams(wanted),
    as_of: sqlTime(asOf ?? period.end),
    key: isAttribute(groupBy) ? attributeKey(groupBy) : '',
    // One row more than wanted says whether there is a next page.
    rows: (limit ?? 0) + 1,
    afterEvents: after?.events ?? 0n,
    afterTenant: after?.tenant ?? '',
    afterKey: after?.key ?? '',
  };
  const known = asOf ? ` AND ingested_at <= toDateTime64({as_of:String}, 3, 'UTC')` : '';
  const later = inTime
    ? '(key, tenant) > ({afterKey:String}, {afterTenant:String})'
    : `events < {afterEvents:UInt64}
      OR (events = {afterEvents:UInt64} AND (tenant, key) > ({afterTenant:String}, {afterKey:String}))`;
  const groups = groupsOf(groupBy, source, {
    metered: inScope(wanted),
    raw: `${inScope(wanted, 'toStartOfHour(timestamp)')}${known}`,
  });
  const order = `ORDER BY ${inTime ? 'key, tenant' : 'events DESC, tenant, key'}`;
  // A few rows are all fetched and added up here: the windows of a page took a third of such a query's CPU time.
  const all = !after && (limit === undefined || groupBy === 'event_type');
  if (all) {
    const found = await store.query(`${groups} ${order}`, usageRow, params);
    return breakdown(wanted, found, totalsOf(found));
  }
  const found = await store.query(
    `SELECT * FROM
    (
      SELECT tenant, key, events, bytes,
        sum(events) OVER () AS total_events, sum(bytes) OVER () AS total_bytes,
        count() OVER () AS groups, min(tenant) OVER () != max(tenant) OVER () AS several
      FROM (${groups})
    )
    ${after ? `WHERE ${later}` : ''}
    ${order}
    ${limit === undefined ? '' : 'LIMIT {rows:UInt64}'}`,
    pageRow,
    params,
  );
  const [first] = found;
  // Rows that were behind a page when it was given are gone: the totals are still to be had from the first page.
  if (!first && after) {
    const whole = await usageIn(store, source, { ...wanted, limit: 1, after: undefined });
    return { ...whole, rows: [], omitted: whole.omitted + whole.rows.length, next: null };
  }
  return breakdown(wanted, found, first ?? totalsOf([]));
}

/** @param found its rows, in order, with the first of the next page where there is one */
function breakdown(
  { tenantId, period, groupBy, limit, asOf }: Wanted,
  found: readonly FoundRow[],
  totals: Totals,
): Usage {
  const several = tenantId === null && groupBy !== 'tenant_id' && totals.several;
  const rows = found.slice(0, limit);
  const rowOf = ({ tenant, key, events, bytes }: FoundRow): UsageRow => {
    const row: UsageRow = isAttribute(groupBy)
      ? { ...decodeKey(key), events, bytes }
      : { key, events, bytes };
    if (several) row.tenant_id = tenant;
    return row;
  };
  const last = rows.at(-1);
  return {
    tenantId,
    period,
    groupBy,
    asOf: asOf ?? null,
    rows: rows.map(rowOf),
    totalEvents: totals.total_events,
    totalBytes: totals.total_bytes,
    omitted: totals.groups - rows.length,
    next:
      last && found.length > rows.length ? { events: last.events, tenant: last.tenant, key: last.key } : null,
  };
}

/** The SELECT of the groups of a breakdown: tenant, key, events, bytes. */
function groupsOf(groupBy: Grouping, { from }: Source, conditions: Conditions): string {
  if (isAttribute(groupBy)) return rawGroups(groupBy, conditions, from);
  if (groupBy === 'service_id') {
    return `SELECT tenant_id AS tenant, service_id AS key, count() AS events, sum(bytes_ingested) AS bytes
    FROM {{db}}.infrasage_raw_firehose
    WHERE ${conditions.raw}
    GROUP BY tenant, key`;
  }
  return `SELECT tenant_id AS tenant, ${METERED[groupBy]} AS key, sum(event_count) AS events, sum(bytes_ingested) AS bytes
    FROM ${from}
    WHERE ${conditions.metered}
    GROUP BY tenant, key`;
}

/** What a page's rows say of the whole, of all rows. */
function totalsOf(rows: readonly FoundRow[]): Totals {
  return {
    total_events: rows.reduce((sum, { events }) => sum + events, 0n),
    total_bytes: rows.reduce((sum, { bytes }) => sum + bytes, 0n),
    groups: rows.length,
    several: new Set(rows.map(({ tenant }) => tenant)).size > 1,
  };
}

/** The documented JSON shape. */
export function usageJson({ tenantId, period, groupBy, asOf, rows, totalEvents, totalBytes }: Usage) {
  return {
    tenant_id: tenantId,
    period: { start: isoTime(period.start), end: isoTime(period.end) },
    group_by: groupBy,
    ...(asOf && { as_of: isoTime(asOf) }),
    breakdown: rows.map((row) => usageCells(row, groupBy)),
    total_events: totalEvents,
    total_bytes: totalBytes,
  };
}

/** A row under the names it is printed with. */
export function usageCells({ tenant_id, key, kind, events, bytes }: UsageRow, groupBy: Grouping) {
  const cells: Record<string, string | bigint | null> = {};
  if (tenant_id !== undefined) cells.tenant_id = tenant_id;
  cells[groupBy] = key;
  if (kind) cells.kind = kind;
  cells.events = events;
  cells.bytes = bytes;
  return cells;
}
