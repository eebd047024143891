import { z } from 'zod';
import { type Store, uint64 } from '../store/store.ts';
import { metered } from './as-of.ts';
import { inScope, type Scope, scopeParams } from './scope.ts';

/** What a tenant has sent of a type. */
export interface TypeFigures {
  tenant: string;
  type: string;
  events: bigint;
  /** Compressed bytes as stored. */
  bytesIngested: bigint;
  /** Bytes as sent. */
  bytesReceived: bigint;
}

interface Wanted extends Scope {
  asOf?: Date | undefined;
}

const row = z.object({
  tenant: z.string(),
  type: z.string(),
  events: uint64,
  bytesIngested: uint64,
  bytesReceived: uint64,
});

/**
 * The figures of a period by tenant and type, from the metering, largest first.
 * @param wanted.asOf as they were at this time
 * @throws InfrasageError (exit 3) where that is not known any more
 */
export function typeFigures(store: Store, wanted: Wanted): Promise<TypeFigures[]> {
  return metered(store, wanted, ({ from, params }) =>
    store.query(
      `SELECT tenant_id AS tenant, event_type AS type, sum(event_count) AS events,
        sum(m.bytes_ingested) AS bytesIngested, sum(m.bytes_received) AS bytesReceived
      FROM ${from} AS m
      WHERE ${inScope(wanted)}
      GROUP BY tenant, type
      ORDER BY events DESC, tenant, type`,
      row,
      { ...params, ...scopeParams(wanted) },
    ),
  );
}
