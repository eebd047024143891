import type { Bill } from '../billing/bill.ts';
import type { Context } from '../context.ts';
import { type Catalog, readCatalog } from '../plans/catalog.ts';
import type { Store } from '../store/store.ts';

/** That a plan is assigned to nobody in a month; undefined where somebody is billed by it. */
export function unassignedWords(catalog: Catalog, name: string, month: string): string | undefined {
  if (catalog.isAssigned(name, month)) return undefined;
  return `It is assigned to nobody: infrasage plans assign ${name} [--tenant ID]`;
}

/** Of a bill that no plan makes an invoice of: says where there are plans, and none is assigned in its month. */
export async function sayIfUnassigned(context: Context, store: Store, { found, invoices, closing }: Bill) {
  if (invoices.length > 0 || closing) return;
  const catalog = await readCatalog(store);
  const month = found.month.name;
  const { names } = catalog;
  if (names.length === 0 || names.some((name) => catalog.isAssigned(name, month))) return;
  await context.say(
    `no price plan is assigned in ${month}, so there is no invoice: infrasage plans assign ${names.length === 1 ? names[0] : 'NAME'} [--tenant ID]`,
  );
}
