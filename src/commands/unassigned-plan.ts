import type { Bill } from '../billing/bill.ts';
import type { Context } from '../context.ts';
import type { Catalog } from '../plans/catalog.ts';

/** That a plan is assigned to nobody in a month; undefined where somebody is billed by it. */
export function unassignedWords(catalog: Catalog, name: string, month: string): string | undefined {
  if (catalog.isAssigned(name, month)) return undefined;
  return `It is assigned to nobody: infrasage plans assign ${name} [--tenant ID]`;
}

/** Of a bill that no plan makes an invoice of: says where there are plans, and none is assigned in its month. */
export async function sayIfUnassigned(context: Context, { found, invoices, unassigned }: Bill) {
  if (invoices.length > 0 || unassigned.length === 0) return;
  await context.say(
    `no price plan is assigned in ${found.month.name}, so there is no invoice: infrasage plans assign ${unassigned.length === 1 ? unassigned[0] : 'NAME'} [--tenant ID]`,
  );
}
