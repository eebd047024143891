import { z } from 'zod';
import { type Reader, sqlTime, uint64, utcTime } from '../store/store.ts';
import { allTables, type Growth, growth } from './growth.ts';
import { type Disk, shards, type TableSize } from './storage.ts';

/** Days ahead that sizes are projected for. */
export const HORIZONS = [30, 90, 365] as const;

/** What a table takes up, and what time its rows are of. */
export interface TableUse extends TableSize {
  /** null where it holds nothing, or no rows of a time. */
  oldest: Date | null;
  newest: Date | null;
}

/** A tenant's stored events. */
export interface TenantUse {
  tenantId: string;
  events: bigint;
  /** Compressed, as metered. */
  bytes: bigint;
}

export interface Capacity {
  tables: TableUse[];
  growth: Growth;
  /** Events and compressed bytes that were ingested a day, oldest first; days without any are left out. */
  daily: { day: string; events: bigint; bytes: bigint }[];
  /** Those that the database fills; of a cluster, one a shard. */
  disks: Disk[];
  /** Of the fullest disk, or until the limit. */
  daysLeft: number | null;
  /** The largest; the rest is in the total. */
  tenants: TenantUse[];
  tenantCount: number;
  tenantBytes: bigint;
}

/** The column that says when the rows of a table are of. */
const TIMES: Record<string, string> = {
  infrasage_raw_firehose: 'timestamp',
  infrasage_usage_metering: 'hour',
  infrasage_dlq: 'received_at',
  infrasage_ingest_batches: 'received_at',
};

/**
 * What the database takes up, and how long the disk lasts.
 * @param wanted.local the disk of the data directory, on which the embedded engine's database is; undefined for a server
 * @param wanted.limit bytes that it may take; null for what the disks hold
 * @param wanted.top most tenants
 */
export async function capacity(
  reader: Reader,
  wanted: {
    now: Date;
    weeks: number;
    local: Disk | undefined;
    limit: bigint | null;
    tenantId: string | null;
    top: number;
  },
): Promise<Capacity> {
  const { now, weeks, local, limit, tenantId, top } = wanted;
  const where = await shards(reader, { server: local === undefined });
  const found = await growth(reader, where, { now, weeks });
  const disks = local ? [local] : where.flatMap(({ disks: all }) => all?.slice(0, 1) ?? []);
  const tables: TableUse[] = [];
  for (const table of allTables(where)) tables.push({ ...table, ...(await timesOf(reader, table)) });
  return {
    tables: tables.sort((a, b) => Number(b.bytes - a.bytes)),
    growth: found,
    daily: await dailyOf(reader, { now, weeks }),
    disks,
    daysLeft: limit === null ? found.daysLeft(local?.free ?? 0n) : found.daysUntil(limit),
    ...(await tenantsOf(reader, { tenantId, top })),
  };
}

async function timesOf(
  reader: Reader,
  { table, rows }: TableSize,
): Promise<Pick<TableUse, 'oldest' | 'newest'>> {
  const column = TIMES[table];
  if (column === undefined || rows === 0n) return { oldest: null, newest: null };
  const [row] = await reader.query(
    `SELECT count() AS n, min(${column}) AS oldest, max(${column}) AS newest FROM {{db}}.${table}`,
    z.object({ n: uint64, oldest: utcTime, newest: utcTime }),
  );
  return row && row.n > 0n ? { oldest: row.oldest, newest: row.newest } : { oldest: null, newest: null };
}

/** By the time of ingest, as it is metered. */
function dailyOf(reader: Reader, { now, weeks }: { now: Date; weeks: number }): Promise<Capacity['daily']> {
  return reader.query(
    `SELECT formatDateTime(m.ingested_at, '%Y-%m-%d', 'UTC') AS day, sum(m.event_count) AS events, sum(m.bytes_ingested) AS bytes
    FROM {{db}}.infrasage_usage_metering AS m WHERE m.ingested_at >= toDateTime64({since:String}, 3, 'UTC')
    GROUP BY day ORDER BY day`,
    z.object({ day: z.string(), events: uint64, bytes: uint64 }),
    { since: sqlTime(new Date(now.getTime() - weeks * 7 * 86_400_000)) },
  );
}

/** From the rows that are stored, as the disk has them: where a term removes them, they take no place any more. */
async function tenantsOf(
  reader: Reader,
  { tenantId, top }: { tenantId: string | null; top: number },
): Promise<Pick<Capacity, 'tenants' | 'tenantCount' | 'tenantBytes'>> {
  const rows = await reader.query(
    `SELECT *, count() OVER () AS tenants, sum(bytes) OVER () AS total FROM (
      SELECT toString(f.tenant_id) AS tenant, count() AS events, sum(f.bytes_ingested) AS bytes
      FROM {{db}}.infrasage_raw_firehose AS f ${tenantId === null ? '' : 'WHERE f.tenant_id = {tenant:String}'}
      GROUP BY tenant
    ) ORDER BY bytes DESC, tenant LIMIT {top:UInt32}`,
    z.object({
      tenant: z.string(),
      events: uint64,
      bytes: uint64,
      tenants: z.coerce.number(),
      total: uint64,
    }),
    { tenant: tenantId ?? '', top },
  );
  return {
    tenants: rows.map(({ tenant, events, bytes }) => ({ tenantId: tenant, events, bytes })),
    tenantCount: rows[0]?.tenants ?? 0,
    tenantBytes: rows[0]?.total ?? 0n,
  };
}
