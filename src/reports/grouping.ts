import { usageError } from '../errors.ts';

/** What usage can be broken down by, beside attributes. hour, day and month come in time order, all others largest first. */
export const GROUPINGS = ['event_type', 'service_id', 'tenant_id', 'hour', 'day', 'month'] as const;
type Named = (typeof GROUPINGS)[number];

/** `attributes.KEY`: the value that events have of an attribute; whatever follows the first dot is its key. */
export type AttributeGrouping = `attributes.${string}`;
export type Grouping = Named | AttributeGrouping;

/** How a grouping by an attribute begins. */
export const ATTRIBUTE = 'attributes.';

const TIMES: readonly Grouping[] = ['hour', 'day', 'month'];

/**
 * The grouping of `--by`, or of what else names one.
 * @param known those that are taken
 * @throws InfrasageError (exit 2) naming the option
 */
export function parseGrouping<Name extends Named>(
  text: string,
  known: readonly Name[],
  option = '--by',
): Name | AttributeGrouping {
  const named = known.find((name) => name === text);
  if (named) return named;
  if (isAttribute(text)) return text;
  throw usageError(
    `${option} ${text} is not a grouping`,
    `use one of ${known.join(', ')}, or ${ATTRIBUTE}KEY, such as ${ATTRIBUTE}team`,
  );
}

export function isAttribute(grouping: string): grouping is AttributeGrouping {
  return grouping.startsWith(ATTRIBUTE);
}

/** Whether a breakdown is over time. */
export function isTime(grouping: Grouping): grouping is 'hour' | 'day' | 'month' {
  return TIMES.includes(grouping);
}

/**
 * What a row of a breakdown by attribute is of: events that have a value of it, which may be empty; those that have
 * none; or what is metered and in no row any more, as its raw rows were removed by their age.
 */
export const KINDS = ['value', 'none', 'unattributed'] as const;
export type Kind = (typeof KINDS)[number];

/** The key of an AttributeGrouping, as bound to rawGroups. */
export function attributeKey(grouping: AttributeGrouping): string {
  return grouping.slice(ATTRIBUTE.length);
}

/** The conditions of the period and the tenant, on rows of the metering and of the firehose. */
export interface Conditions {
  metered: string;
  raw: string;
}

/** The key of a group of events by an attribute, bound to {key:String}. */
const BY_ATTRIBUTE = `if(mapContains(attributes, {key:String}), concat('${KINDS.indexOf('value')}', attributes[{key:String}]), '${KINDS.indexOf('none')}')`;

/**
 * The groups of a breakdown by an attribute or by service: tenant, key, events, bytes; key as decodeKey reads it. Neither
 * is metered: their events are counted in the firehose. What the metering has beyond that is a group of its own, so that
 * the sum is the one of every other breakdown.
 *
 * The metering comes first in the statement: its rows are written after those of the firehose, so that of a batch
 * that is being stored meanwhile no event is metered and not found.
 * @param metering the metering table, or what stands for it
 */
export function rawGroups(
  grouping: AttributeGrouping | 'service_id',
  { metered, raw }: Conditions,
  metering: string,
): string {
  const rest = KINDS.indexOf('unattributed');
  return `SELECT tenant, key, if(rest, toUInt64(events - least(events, counted.1)), events) AS events,
      if(rest, toUInt64(bytes - least(bytes, counted.2)), bytes) AS bytes
    FROM
    (
      SELECT *, startsWith(key, '${rest}') AS rest,
        (sumIf(events, NOT rest) OVER (PARTITION BY tenant), sumIf(bytes, NOT rest) OVER (PARTITION BY tenant)) AS counted
      FROM
      (
        SELECT toString(tenant_id) AS tenant, '${rest}' AS key, sum(event_count) AS events, sum(bytes_ingested) AS bytes
        FROM ${metering}
        WHERE ${metered}
        GROUP BY tenant
        UNION ALL
        SELECT toString(tenant_id) AS tenant,
          ${grouping === 'service_id' ? `concat('${KINDS.indexOf('value')}', service_id)` : BY_ATTRIBUTE} AS key,
          count() AS events, sum(bytes_ingested) AS bytes
        FROM {{db}}.infrasage_raw_firehose
        WHERE ${raw}
        GROUP BY tenant, key
      )
    )
    WHERE NOT rest OR events > counted.1 OR bytes > counted.2`;
}

/** What a key of rawGroups is of: text beside its kind, null where that is not 'value'. */
export function decodeKey(encoded: string): { key: string | null; kind: Kind } {
  const kind = KINDS[Number(encoded[0])] ?? 'value';
  return { key: kind === 'value' ? encoded.slice(1) : null, kind };
}
