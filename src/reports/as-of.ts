import { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import { isoTime } from '../period.ts';
import { type Params, type Store, sqlTime, uint64, utcTime } from '../store/store.ts';
import { rawKeptSince } from '../verify/retention.ts';
import { inScope, type Scope, scopeParams } from './scope.ts';

/** Where figures are read: a table, or a bracketed subquery, with what it binds. */
export interface Source {
  /** Has the columns tenant_id, hour, event_type, event_count, bytes_ingested and bytes_received. */
  from: string;
  params: Params;
}

/** What was metered, at the time that is asked for; `ingested_at` of a batch is when its first line was taken in. */
const AT = `toDateTime64({as_of:String}, 3, 'UTC')`;

/**
 * Asks the metering, as it is or as it was at a time.
 *
 * A metering row has what was ingested from ingested_from to ingested_at: one moment, until rows of an hour are rolled
 * up after seven days. Of hours with a row that reaches over the time asked for, what came later is taken off again,
 * counted in the firehose; so only raw rows that came later are needed.
 * @param options.asOf undefined: as it is
 * @param ask asks the source; again where rows were rolled up in between
 * @throws InfrasageError (exit 3) where raw rows that are needed are gone
 */
export async function metered<T>(
  store: Store,
  { asOf, ...scope }: Scope & { asOf?: Date | undefined },
  ask: (source: Source) => Promise<T>,
): Promise<T> {
  if (!asOf) return ask({ from: '{{db}}.infrasage_usage_metering', params: {} });
  for (;;) {
    const straddling = await straddlingHours(store, scope, asOf);
    const source = sourceAsOf(scope, asOf, straddling);
    if (straddling.groups > 0n) await refuseUnknown(store, { scope, asOf, source });
    const answer = await ask(source);
    const after = await straddlingHours(store, scope, asOf);
    if (after.groups === straddling.groups) return answer;
  }
}

/**
 * Refuses where raw rows are needed that were ingested by a time, and some of them are past their retention.
 * @throws InfrasageError (exit 3)
 */
export async function refuseWithoutRaw(store: Store, scope: Scope, asOf: Date): Promise<void> {
  const keptSince = await rawKeptSince(store);
  if (!keptSince) return;
  const [found] = await store.query(
    `SELECT count() AS gone FROM {{db}}.infrasage_usage_metering
    WHERE ${inScope(scope)} AND ingested_from <= ${AT} AND ingested_from < toDateTime64({kept_since:String}, 3, 'UTC')`,
    z.object({ gone: uint64 }),
    { ...scopeParams(scope), as_of: sqlTime(asOf), kept_since: sqlTime(keptSince) },
  );
  if (!found || found.gone === 0n) return;
  throw new InfrasageError(
    `what was known of each service at ${isoTime(asOf)} is not known any more: raw rows that were ingested before ${isoTime(keptSince)} are past their retention`,
    {
      hint: 'ask for hours that were ingested since then, or by type: infrasage usage --by event_type --as-of',
    },
  );
}

interface Straddling {
  groups: bigint;
  /** First and last of their hours. */
  first: Date;
  last: Date;
}

/** The groups of tenant, hour and type with a row of what was ingested before and after a time. */
async function straddlingHours(store: Store, scope: Scope, asOf: Date): Promise<Straddling> {
  const [found] = await store.query(
    `SELECT uniqExact(tenant_id, hour, event_type) AS groups, min(hour) AS first, max(hour) AS last
    FROM {{db}}.infrasage_usage_metering
    WHERE ${inScope(scope)} AND ingested_from <= ${AT} AND ingested_at > ${AT}`,
    z.object({ groups: uint64, first: utcTime, last: utcTime }),
    { ...scopeParams(scope), as_of: sqlTime(asOf) },
  );
  return found ?? { groups: 0n, first: asOf, last: asOf };
}

function sourceAsOf(scope: Scope, asOf: Date, { groups, first, last }: Straddling): Source {
  const params = { ...scopeParams(scope), as_of: sqlTime(asOf) };
  if (groups === 0n) {
    return {
      from: `(SELECT * FROM {{db}}.infrasage_usage_metering WHERE ${inScope(scope)} AND ingested_at <= ${AT})`,
      params,
    };
  }
  const figure = (name: string) =>
    `toUInt64(if(max(straddles), sum(${name}_all) - sum(${name}_later), sum(${name}_by)))`;
  return {
    from: `(SELECT tenant AS tenant_id, of_hour AS hour, type AS event_type,
        ${figure('events')} AS event_count, ${figure('ingested')} AS bytes_ingested, ${figure('received')} AS bytes_received,
        max(straddles) AS is_rolled_up, max(metered_at) AS last_metered, max(stored_at) AS last_stored,
        sum(events_all) >= sum(events_later) AS is_covered
      FROM (
        SELECT tenant_id AS tenant, m.hour AS of_hour, event_type AS type,
          ingested_from <= ${AT} AND ingested_at > ${AT} AS straddles,
          toInt64(event_count) AS events_all, toInt64(bytes_ingested) AS ingested_all, toInt64(bytes_received) AS received_all,
          if(ingested_at <= ${AT}, events_all, 0) AS events_by, if(ingested_at <= ${AT}, ingested_all, 0) AS ingested_by,
          if(ingested_at <= ${AT}, received_all, 0) AS received_by,
          toInt64(0) AS events_later, toInt64(0) AS ingested_later, toInt64(0) AS received_later,
          ingested_at AS metered_at, toDateTime64(0, 3, 'UTC') AS stored_at
        FROM {{db}}.infrasage_usage_metering AS m WHERE ${inScope(scope, 'm.hour')}
        UNION ALL
        SELECT tenant_id, toStartOfHour(f.timestamp), event_type, 0, 0, 0, 0, 0, 0, 0,
          toInt64(count()), toInt64(sum(f.bytes_ingested)), toInt64(sum(f.bytes_received)),
          toDateTime64(0, 3, 'UTC'), max(f.ingested_at)
        FROM {{db}}.infrasage_raw_firehose AS f
        WHERE ${inScope(scope, 'toStartOfHour(f.timestamp)')} AND f.ingested_at > ${AT}
          AND f.timestamp >= toDateTime64({first:String}, 3, 'UTC') AND f.timestamp < toDateTime64({last:String}, 3, 'UTC') + INTERVAL 1 HOUR
        GROUP BY tenant_id, toStartOfHour(f.timestamp), event_type
      )
      GROUP BY tenant, of_hour, type HAVING event_count > 0)`,
    params: { ...params, first: sqlTime(first), last: sqlTime(last) },
  };
}

/** What came later can be taken off only where all of it is still in the firehose. */
async function refuseUnknown(
  store: Store,
  { scope, asOf, source }: { scope: Scope; asOf: Date; source: Source },
): Promise<void> {
  const keptSince = await rawKeptSince(store);
  if (keptSince && asOf < keptSince) throw unknowable(asOf, keptSince);
  const [found] = await store.query(
    `SELECT count() AS gone FROM ${source.from} WHERE is_rolled_up AND (last_metered != last_stored OR NOT is_covered)`,
    z.object({ gone: uint64 }),
    { ...scopeParams(scope), ...source.params },
  );
  if (found && found.gone > 0n) throw unknowable(asOf, null);
}

const HOUR_MS = 3_600_000;

function unknowable(asOf: Date, keptSince: Date | null): InfrasageError {
  // By the time that the hint is followed, a little more may be gone.
  const from = keptSince && new Date((Math.floor(keptSince.getTime() / HOUR_MS) + 2) * HOUR_MS);
  return new InfrasageError(
    `what was known at ${isoTime(asOf)} is not known any more: hours of it are rolled up with what was ingested later, and raw rows of these are gone`,
    {
      hint: from
        ? `it can be told as of ${isoTime(from)} and later: raw rows since then are there`
        : 'see what differs: infrasage verify',
    },
  );
}
