import { groupBy } from '../group-by.ts';
import type { Month } from '../period.ts';
import { readCatalog } from '../plans/catalog.ts';
import type { Store } from '../store/store.ts';
import { readTerms } from './billed.ts';
import { readClosings } from './closings.ts';

/** A tenant to whom nothing was billed for a month when it was closed, since its events came after that. */
export interface BilledLater {
  tenant: string;
  /** The month on whose bill they are an adjustment. */
  on: string;
}

/**
 * Which of these tenants a closed month is billed to later; none of a month that is open. Those without a plan for it
 * are not billed at all.
 * @param tenants with events of the month and no bill of it
 */
export async function billedLater(
  store: Store,
  tenants: readonly string[],
  { month, asOf }: { month: Month; asOf: Date | undefined },
): Promise<BilledLater[]> {
  if (tenants.length === 0) return [];
  const closings = await readClosings(store, asOf);
  const months = closings.months.filter((name) => name >= month.name);
  if (months[0] !== month.name) return [];
  const monthOf = new Map(months.map((name) => [closings.of(name)?.closingId ?? '', name]));
  const of = tenants.map((tenant) => ({ tenant, month: month.name }));
  const billed = groupBy(
    await readTerms(store, { closingIds: [...monthOf.keys()], of }),
    ({ tenant }) => tenant,
  );
  const catalog = await readCatalog(store, asOf);
  const found: BilledLater[] = [];
  for (const tenant of tenants) {
    const theirs = billed.get(tenant) ?? [];
    const on = theirs.map(({ closingId }) => monthOf.get(closingId) ?? '').sort()[0];
    const isPaying =
      on === undefined
        ? (await catalog.planOf(tenant, month)) !== undefined
        : theirs.some(({ plan }) => plan);
    if (isPaying && on !== month.name)
      found.push({ tenant, on: on ?? closings.neighbours?.after ?? month.name });
  }
  return found;
}
