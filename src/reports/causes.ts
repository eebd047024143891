import { z } from 'zod';
import { isoTime, type Period } from '../period.ts';
import { type Store, sqlTime, uint64, utcTime } from '../store/store.ts';
import { letterCondition } from './dead-letters.ts';

/** How many lines were rejected for one reason. */
export interface Cause {
  /** The error code. */
  error: string;
  lines: bigint;
  /** When the last of them was received. */
  lastReceivedAt: Date;
}

const causeRow = z
  .object({ known: z.coerce.boolean(), error: z.string(), lines: uint64, last: utcTime })
  .transform(({ known, error, lines, last }) => ({ known, cause: { error, lines, lastReceivedAt: last } }));

/**
 * The dead letters that a period received, of a tenant or of all (null), by cause, most lines first.
 * @param wanted.unknownToo whether those that name no tenant are counted too, apart
 */
export async function countLetters(
  store: Store,
  { tenantId, period, unknownToo }: { tenantId: string | null; period: Period; unknownToo: boolean },
): Promise<{ ofTenant: Cause[]; ofNone: Cause[] }> {
  const known = tenantId === null ? `tenant_id != ''` : 'tenant_id = {tenant:String}';
  const tenants = unknownToo ? `(tenant_id = '' OR ${known})` : known;
  const found = await store.query(
    `SELECT tenant_id != '' AS known, error, count() AS lines, max(received_at) AS last
    FROM {{db}}.infrasage_dlq
    WHERE ${tenants} AND received_at >= toDateTime64({start:String}, 3, 'UTC')
      ${period.open ? '' : `AND received_at < toDateTime64({end:String}, 3, 'UTC')`}
    GROUP BY known, error ORDER BY lines DESC, error`,
    causeRow,
    { tenant: tenantId ?? '', start: sqlTime(period.start), end: sqlTime(period.end) },
  );
  const causes = (named: boolean) => found.filter((row) => row.known === named).map(({ cause }) => cause);
  return { ofTenant: causes(true), ofNone: causes(false) };
}

/** How many of the dead letters that a period received, of a tenant or of all (null), were sent again and count now. */
export async function countReplayed(
  store: Store,
  { tenantId, period: { start, end, open } }: { tenantId: string | null; period: Period },
): Promise<bigint> {
  const { where, params } = letterCondition({
    tenantId,
    error: null,
    source: null,
    since: start,
    until: open ? null : end,
    state: 'replayed',
  });
  const [count] = await store.query(
    `SELECT count() AS total FROM {{db}}.infrasage_dlq AS d WHERE ${where}`,
    z.object({ total: uint64 }),
    params,
  );
  return count?.total ?? 0n;
}

/** The JSON shape of a cause. */
export function causeJson({ error, lines, lastReceivedAt }: Cause) {
  return { error, lines, last_received_at: isoTime(lastReceivedAt) };
}
