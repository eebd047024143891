import type { Period } from '../period.ts';
import { type Params, sqlTime } from '../store/store.ts';

/** Whose usage, and of which hours. */
export interface Scope {
  /** null: all tenants. */
  tenantId: string | null;
  period: Period;
}

/** The condition that rows are in a scope; its values are those of scopeParams. */
export function inScope({ tenantId, period }: Scope, hour = 'hour'): string {
  return [
    `${hour} >= toDateTime64({start:String}, 3, 'UTC')`,
    ...(period.open ? [] : [`${hour} < toDateTime64({end:String}, 3, 'UTC')`]),
    ...(tenantId === null ? [] : ['tenant_id = {tenant:String}']),
  ].join(' AND ');
}

/** What inScope binds. */
export function scopeParams({ tenantId, period }: Scope): Params {
  return { start: sqlTime(period.start), end: sqlTime(period.end), tenant: tenantId ?? '' };
}
