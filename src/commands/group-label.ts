import type { Column, Row } from '../render/report.ts';
import { type Grouping, isAttribute, type Kind } from '../reports/grouping.ts';

const TITLES = {
  event_type: 'Type',
  service_id: 'Service',
  tenant_id: 'Tenant',
  hour: 'Hour (UTC)',
  day: 'Day (UTC)',
  month: 'Month (UTC)',
};

/** The heading over the rows of a grouping; of an attribute, as it was asked for. */
export function groupTitle(grouping: Grouping): string {
  return isAttribute(grouping) ? grouping : TITLES[grouping];
}

/** What people read for a group that has no value, and for values that would read like that or like nothing, in quotes. */
export function groupLabel({ key, kind = 'value' }: { key: string | null; kind?: Kind }): string {
  if (kind !== 'value' || key === null) return `(${kind})`;
  return key === '' || /^[("]/.test(key) ? JSON.stringify(key) : key;
}

/**
 * The columns that say what a row is of. Where rows have a kind, programs read it beside the key, and people in its
 * place.
 */
export function groupColumns(
  grouping: Grouping,
  { tenants, kinds = isAttribute(grouping) }: { tenants: boolean; kinds?: boolean },
): { columns: Column[]; tableColumns: Column[] } {
  const tenant: Column[] = tenants ? [{ key: 'tenant_id', title: TITLES.tenant_id, kind: 'text' }] : [];
  const group: Column = { key: grouping, title: groupTitle(grouping), kind: 'text' };
  if (!kinds) return { columns: [...tenant, group], tableColumns: [...tenant, group] };
  const shown = (row: Row) => groupLabel({ key: row[grouping] as string | null, kind: row.kind as Kind });
  return {
    columns: [...tenant, group, { key: 'kind', title: 'Kind', kind: 'text' }],
    tableColumns: [...tenant, { ...group, shown }],
  };
}
