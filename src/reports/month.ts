import { isoTime, type Month } from '../period.ts';
import type { Store } from '../store/store.ts';
import { type Billing, billing, billingJson } from './billing.ts';
import { type Cause, causeJson, countLetters, countReplayed } from './causes.ts';
import { type Point, usageSeries } from './series.ts';
import { type Usage, usage, usageJson } from './usage.ts';

/** Services that a month's report names; the others are one row. */
const SERVICES = 20;
/** Tenants that it names. */
const TENANTS = 100;

/** A month as its report page shows it. */
export interface MonthReport {
  bill: Billing;
  /** Of each day, by type. */
  points: Point[];
  services: Usage;
  letters: {
    causes: Cause[];
    /** Lines of which it is not known whose they are; undefined where the report is of one tenant. */
    withoutTenant: Cause[] | undefined;
    /** Of all these, the lines that were sent again and count now. */
    replayed: bigint;
  };
  madeAt: Date;
}

/** Everything there is to say of a month: the figures of the bill, usage by day and service, the dead letters. */
export async function monthReport(
  store: Store,
  { tenantId, month, now }: { tenantId: string | null; month: Month; now: Date },
): Promise<MonthReport> {
  const { period } = month;
  const bill = await billing(store, { tenantId, month, now });
  const points = await usageSeries(store, { tenantId, period, step: 'day' });
  const services = await usage(store, { tenantId, period, groupBy: 'service_id', limit: SERVICES });
  // A tenant's report may be sent to the tenant: lines that may be of anybody are not in it.
  const unknownToo = tenantId === null;
  const { ofTenant, ofNone } = await countLetters(store, { tenantId, period, unknownToo });
  const replayed = await countReplayed(store, { tenantId, period });
  const letters = { causes: ofTenant, withoutTenant: unknownToo ? ofNone : undefined, replayed };
  return { bill, points, services, letters, madeAt: now };
}

/** What the page is made of: the shapes of the API, side by side. */
export function monthReportJson({ bill, points, services, letters, madeAt }: MonthReport) {
  const { tenantId, tenants, month } = bill;
  const { period } = usageJson(services);
  return {
    made_at: isoTime(madeAt),
    open: madeAt < month.period.end,
    bill: { ...billingJson({ ...bill, tenants: tenants.slice(0, TENANTS) }), tenant_id: tenantId },
    tenants_in_all: tenants.length,
    series: { period, step: 'day', points },
    services: usageJson(services),
    letters: {
      causes: letters.causes.map(causeJson),
      total: letters.causes.reduce((sum, { lines }) => sum + lines, 0n),
      ...(letters.withoutTenant && { without_tenant: letters.withoutTenant.map(causeJson) }),
      replayed: letters.replayed,
    },
  };
}
