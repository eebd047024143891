import { z } from 'zod';
import type { Period } from '../period.ts';
import { metered } from '../reports/as-of.ts';
import { inScope, scopeParams } from '../reports/scope.ts';
import { type Store, uint64 } from '../store/store.ts';
import type { TypeQuantities } from './figures.ts';

/** A closed month of a tenant whose figures are others now than all that was billed for it. */
export interface Change {
  tenant: string;
  /** 2026-09 */
  month: string;
  /** What is metered now; nothing where nothing is left. */
  figures: readonly TypeQuantities[];
  /** What is there more than was billed, with its sign, by type; nothing of types where that is the same. */
  quantities: readonly TypeQuantities[];
}

interface Wanted {
  /** Those that are in force. */
  closingIds: readonly string[];
  /** From the first closed month to the end of the last. */
  period: Period;
  /** null: all tenants. */
  tenantId: string | null;
  /** With the figures as they were at this time. */
  asOf?: Date | undefined;
}

const row = z
  .object({
    ...{ tenant: z.string(), month: z.string() },
    /** Type, whether it is metered, and events, stored and received bytes: metered, then billed. */
    types: z.array(z.tuple([z.string(), z.boolean(), uint64, uint64, uint64, uint64, uint64, uint64])),
  })
  .transform(({ tenant, month, types }): Change => {
    const figures = types
      .filter(([, isMetered]) => isMetered)
      .map(([type, , ...[events, bytesIngested, bytesReceived]]) => {
        return { type, events, bytesIngested, bytesReceived };
      });
    const quantities = types
      .map(([type, , events, ingested, received, ...billed]) => ({
        ...{ type, events: events - billed[0], bytesIngested: ingested - billed[1] },
        bytesReceived: received - billed[2],
      }))
      .filter((one) => one.events !== 0n || one.bytesIngested !== 0n || one.bytesReceived !== 0n);
    return { tenant, month, figures, quantities };
  });

/**
 * Holds the metering of closed months against what was billed for them, in the engine: what has not changed is not
 * read out, so that this takes no more memory the more months are closed.
 * @returns by month and tenant
 * @throws InfrasageError (exit 3) where the figures that are asked for are not known any more
 */
export function changesOf(store: Store, wanted: Wanted): Promise<Change[]> {
  const { closingIds, tenantId } = wanted;
  return metered(store, wanted, ({ from, params }) =>
    store.query(
      `SELECT month, tenant, arraySort(groupArray((type, is_metered,
          events_now, ingested_now, received_now, events_billed, ingested_billed, received_billed))) AS types
      FROM (
        SELECT month, tenant, type, max(now) AS is_metered,
          sumIf(events, now) AS events_now, sumIf(events, NOT now) AS events_billed,
          sumIf(ingested, now) AS ingested_now, sumIf(ingested, NOT now) AS ingested_billed,
          sumIf(received, now) AS received_now, sumIf(received, NOT now) AS received_billed
        FROM (
          SELECT formatDateTime(m.hour, '%Y-%m') AS month, toString(m.tenant_id) AS tenant, toString(m.event_type) AS type,
            true AS now, toInt64(sum(m.event_count)) AS events,
            toInt64(sum(m.bytes_ingested)) AS ingested, toInt64(sum(m.bytes_received)) AS received
          FROM ${from} AS m WHERE ${inScope(wanted)} GROUP BY month, tenant, type
          UNION ALL
          SELECT b.month, toString(b.tenant_id), toString(b.event_type), false, b.events, b.bytes_ingested, b.bytes_received
          FROM {{db}}.infrasage_billed_figures AS b FINAL
          WHERE closing_id IN {ids:Array(String)} ${tenantId === null ? '' : 'AND tenant_id = {tenant:String}'}
        )
        GROUP BY month, tenant, type
      )
      GROUP BY month, tenant
      HAVING max(events_now != events_billed OR ingested_now != ingested_billed OR received_now != received_billed)
      ORDER BY month, tenant`,
      row,
      { ...params, ...scopeParams(wanted), ids: closingIds },
    ),
  );
}
