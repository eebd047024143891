import { EXIT, usageError } from '../errors.ts';
import { isoTime } from '../period.ts';
import type { Cell, Column, Report } from '../render/report.ts';
import { formatBytes, formatCount, plural } from '../render/text.ts';
import { type Capacity, capacity, HORIZONS } from '../reports/capacity.ts';
import { GROWTH_WEEKS } from '../reports/growth.ts';
import { localDisk } from '../reports/storage.ts';
import { parseBytes } from './amounts.ts';
import { type CommandModule, examples } from './command.ts';

/** Tenants that are listed. */
const TOP_TENANTS = 10;

export const configure: CommandModule['configure'] = (command, act) => {
  command
    .description(
      `${command.description()} By what was ingested in the last weeks, with the raw retention in force.`,
    )
    .option(
      '--limit <bytes>',
      'days until the database takes so much: 500GB, 1.5TiB; exit 1 where it does already; without it, until the disk is full',
    )
    .option('--weeks <number>', 'the weeks that growth is taken from', String(GROWTH_WEEKS));
  examples(command, [
    'infrasage capacity',
    'infrasage capacity --limit 500GB --weeks 2',
    'infrasage capacity --json',
  ]);
  act<{ limit?: string; weeks: string }>(command, async (context, options) => {
    const limit = options.limit === undefined ? null : parseBytes(options.limit);
    const weeks = parseWeeks(options.weeks);
    const { tenant, clickhouse, dataDir } = context.config;
    const store = await context.store();
    const found = await capacity(store, {
      now: context.now,
      weeks,
      local: clickhouse ? undefined : localDisk(dataDir),
      limit,
      tenantId: tenant ?? null,
      top: TOP_TENANTS,
    });
    await context.print(report(found, { now: context.now, limit, tenantId: tenant ?? null }));
    return isPassed(limit, found.growth.bytes) ? EXIT.finding : EXIT.ok;
  });
};

/** @throws InfrasageError (exit 2) */
function parseWeeks(text: string): number {
  const weeks = Number(text);
  if (!Number.isInteger(weeks) || weeks < 1 || weeks > 104)
    throw usageError(`--weeks ${text} is not a number of weeks from 1 to 104`);
  return weeks;
}

interface About {
  now: Date;
  limit: bigint | null;
  tenantId: string | null;
}

function report(found: Capacity, about: About): Report {
  const rows = found.tables.map((one) => ({
    table: one.table,
    rows: one.rows,
    bytes: one.bytes,
    compressed_bytes: one.compressed,
    uncompressed_bytes: one.uncompressed,
    ratio: quotient(one.uncompressed, one.compressed),
    bytes_per_row: quotient(one.bytes, one.rows),
    parts: one.parts,
    oldest: one.oldest && isoTime(one.oldest),
    newest: one.newest && isoTime(one.newest),
  }));
  const { growth } = found;
  return {
    data: {
      at: isoTime(about.now),
      tables: rows,
      database_bytes: growth.bytes,
      growth: {
        days: rounded(growth.days),
        events_per_day: Math.round(growth.eventsPerDay),
        bytes_per_day: growth.bytesPerDay === null ? null : Math.round(growth.bytesPerDay),
        daily: found.daily,
      },
      raw_retention_days: growth.termDays,
      projected: HORIZONS.map((days) => ({ days, bytes: Math.round(growth.sizeIn(days)) })),
      disks: found.disks,
      limit_bytes: about.limit,
      days_left: found.daysLeft,
      tenant_id: about.tenantId,
      by_tenant: found.tenants.map(({ tenantId, events, bytes }) => ({ tenant_id: tenantId, events, bytes })),
      tenants: found.tenantCount,
      tenants_bytes: found.tenantBytes,
    },
    rows,
    columns: [
      TABLE,
      ...SIZES,
      { key: 'compressed_bytes', title: 'Columns', kind: 'bytes' },
      ...FIGURES,
      { key: 'oldest', title: 'Oldest (UTC)', kind: 'text' },
      { key: 'newest', title: 'Newest (UTC)', kind: 'text' },
    ],
    tableColumns: [
      { ...TABLE, whole: true, shown: ({ table }) => String(table).replace(/^infrasage_/, '') },
      ...SIZES,
      ...FIGURES,
    ],
    notes: notes(found, about),
  };
}

const TABLE = { key: 'table', title: 'Table', kind: 'text' } as const;
const SIZES = [
  { key: 'rows', title: 'Rows', kind: 'count' },
  { key: 'bytes', title: 'On disk', kind: 'bytes' },
] as const;
const FIGURES = [
  { key: 'uncompressed_bytes', title: 'Before', kind: 'bytes' },
  { key: 'ratio', title: 'Ratio', kind: 'number', shown: ({ ratio }) => inHundredths(ratio) },
  { key: 'bytes_per_row', title: 'B/row', kind: 'number', shown: (row) => inHundredths(row.bytes_per_row) },
  { key: 'parts', title: 'Parts', kind: 'count' },
] as const satisfies readonly Column[];

function notes(
  { tables, growth, disks, daysLeft, tenants, tenantCount, tenantBytes }: Capacity,
  { limit }: About,
): string[] {
  const events = tables.find(({ table }) => table === 'infrasage_raw_firehose');
  const { bytesPerDay, eventsPerDay, termDays } = growth;
  const term = termDays === null ? '' : `, with raw rows kept for ${plural(rounded(termDays), 'day')}`;
  const free = disks.map(({ name, free: bytes }) => `${formatBytes(bytes)} free in ${name}`).join('; ');
  const place = limit === null ? free : `Limit: ${formatBytes(limit)}`;
  return [
    `Total on disk: ${formatBytes(growth.bytes)}`,
    ...(events?.oldest && events.newest
      ? [`Events are of ${isoTime(events.oldest)} to ${isoTime(events.newest)}`]
      : []),
    ...(bytesPerDay === null
      ? ['Nothing was ingested in this time: no growth to go by.']
      : [
          `Growth: ${formatBytes(bytesPerDay)} a day, ${formatCount(Math.round(eventsPerDay))} events a day, of the last ${plural(rounded(growth.days), 'day')}`,
          `Projected${term}: ${HORIZONS.map((days) => `${formatBytes(growth.sizeIn(days))} in ${days} days`).join(', ')}`,
        ]),
    `${place}${lasts(daysLeft, { limit, taken: growth.bytes })}`,
    ...(tenants.length > 0
      ? ['', `Stored events by tenant, ${tenants.length} of ${formatCount(tenantCount)}:`]
      : []),
    ...tenants.map(
      ({ tenantId, bytes }) => `${tenantId}: ${formatBytes(bytes)} (${percent(bytes, tenantBytes)} %)`,
    ),
  ];
}

function isPassed(limit: bigint | null, taken: number | bigint): boolean {
  return limit !== null && taken >= limit;
}

/** No database is meant to be so small: the unit was forgotten. */
const TINY = 1_000_000n;

function lasts(
  days: number | null,
  { limit, taken }: { limit: bigint | null; taken: number | bigint },
): string {
  if (limit !== null && isPassed(limit, taken)) {
    const unit = limit < TINY ? `; with a unit: infrasage capacity --limit ${limit}GB` : '';
    return `, passed already${unit}`;
  }
  if (days === null) return '';
  if (days > 3650) return ', enough for more than ten years';
  return limit === null ? `, enough for ${plural(days, 'day')}` : `, reached in ${plural(days, 'day')}`;
}

function quotient(value: bigint, by: bigint): number | null {
  return by === 0n ? null : rounded(Number(value) / Number(by));
}

/** So that points stand under each other. */
function inHundredths(value: Cell | undefined): string {
  return typeof value === 'number' ? value.toFixed(2) : '-';
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

function percent(part: bigint, whole: bigint): string {
  return whole === 0n ? '0' : ((Number(part) / Number(whole)) * 100).toFixed(1);
}
