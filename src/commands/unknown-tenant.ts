import type { Context } from '../context.ts';
import { unknownTenant } from '../reports/tenants.ts';
import type { Store } from '../store/store.ts';

/** Of a report without events: says where its tenant has never sent any, which a mistyped name has not. */
export async function sayIfUnknown(
  context: Context,
  { store, tenantId, events }: { store: Store; tenantId: string | null; events: bigint },
): Promise<void> {
  if (tenantId === null || events > 0n) return;
  const unknown = await unknownTenant(store, tenantId);
  if (!unknown) return;
  const meant =
    unknown.near === null ? 'infrasage tenants lists those that have' : `did you mean ${unknown.near}?`;
  await context.say(`${tenantId} has never sent events; ${meant}`);
}
