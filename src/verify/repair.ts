import { z } from 'zod';
import { withRows } from '../store/row-lock.ts';
import { type Store, sqlTime, uint64, utcTime } from '../store/store.ts';
import { keptSinceParam, rawKeptSince } from './retention.ts';
import { METERING_PAIRS } from './verify.ts';

/** A tenant, hour and type whose metering is not what the firehose holds. */
export interface Repair {
  tenantId: string;
  hour: Date;
  eventType: string;
  eventsBefore: bigint;
  eventsAfter: bigint;
  /** Compressed bytes. */
  bytesBefore: bigint;
  bytesAfter: bigint;
}

/** What repairMetering would change. */
export function planRepairs(store: Store): Promise<Repair[]> {
  return withRows(store, 'exclusive', () => differing(store));
}

/**
 * Makes the metering anew from the firehose where they differ. Batches wait meanwhile: one half written
 * would be repaired into being counted twice.
 * @returns what was changed
 */
export function repairMetering(store: Store, now: Date): Promise<Repair[]> {
  return withRows(store, 'exclusive', async () => {
    const repairs = await differing(store);
    await repair(store, repairs, now);
    return repairs;
  });
}

async function differing(store: Store): Promise<Repair[]> {
  return store.query(
    `SELECT tenant, hour, type, events, metered, ingested, metered_ingested FROM (${METERING_PAIRS})
    WHERE events != metered OR received != metered_received OR ingested != metered_ingested
    ORDER BY tenant, hour, type`,
    z
      .object({
        tenant: z.string(),
        hour: utcTime,
        type: z.string(),
        events: uint64,
        metered: uint64,
        ingested: uint64,
        metered_ingested: uint64,
      })
      .transform((row) => ({
        tenantId: row.tenant,
        hour: row.hour,
        eventType: row.type,
        eventsBefore: row.metered,
        eventsAfter: row.events,
        bytesBefore: row.metered_ingested,
        bytesAfter: row.ingested,
      })),
    { kept_since: keptSinceParam(await rawKeptSince(store)) },
  );
}

const METERED = [
  ...['tenant_id', 'hour', 'event_type', 'event_count', 'bytes_ingested', 'bytes_received'],
  ...['batch_id', 'ingested_at'],
];

/** The record comes first; interrupted, the rest is found and mended by the next repair. */
async function repair(store: Store, repairs: readonly Repair[], now: Date): Promise<void> {
  for (const { tenantId, hour, eventType, ...figures } of repairs) {
    await store.insert('infrasage_repairs', {
      repaired_at: sqlTime(now),
      tenant_id: tenantId,
      hour: sqlTime(hour).slice(0, 19),
      event_type: eventType,
      events_before: figures.eventsBefore,
      events_after: figures.eventsAfter,
      bytes_before: figures.bytesBefore,
      bytes_after: figures.bytesAfter,
    });
    const params = { tenant: tenantId, hour: sqlTime(hour), type: eventType };
    const group = (time: string) =>
      `tenant_id = {tenant:String} AND ${time} = toDateTime64({hour:String}, 3, 'UTC') AND event_type = {type:String}`;
    await store.mutate(`ALTER TABLE {{db}}.infrasage_usage_metering DELETE WHERE ${group('hour')}`, params);
    const select = `SELECT f.tenant_id, toStartOfHour(f.timestamp), f.event_type, count(), sum(f.bytes_ingested), sum(f.bytes_received), f.batch_id, f.ingested_at
      FROM {{db}}.infrasage_raw_firehose AS f WHERE ${group('toStartOfHour(f.timestamp)')}
      GROUP BY f.tenant_id, toStartOfHour(f.timestamp), f.event_type, f.batch_id, f.ingested_at`;
    await store.insertSelected({ table: 'infrasage_usage_metering', columns: METERED, select }, params);
  }
}
