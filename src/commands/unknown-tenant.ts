import type { Context } from '../context.ts';
import { unknownTenant } from '../reports/tenants.ts';
import type { Store } from '../store/store.ts';

/**
 * Of a report without events, or of what is set for a tenant: says where that has never sent any, which a mistyped name
 * has not.
 * @returns whether it was said
 */
export async function sayIfUnknown(
  context: Context,
  { store, tenantId, events = 0n }: { store: Store; tenantId: string | null; events?: bigint },
): Promise<boolean> {
  if (tenantId === null || tenantId === '' || events > 0n) return false;
  const unknown = await unknownTenant(store, tenantId);
  if (!unknown) return false;
  const meant =
    unknown.near === null ? 'infrasage tenants lists those that have' : `did you mean ${unknown.near}?`;
  await context.say(`${tenantId} has never sent events; ${meant}`);
  return true;
}
