import { z } from 'zod';
import type { Quota } from '../alerts/quotas.ts';
import { groupBy } from '../group-by.ts';
import { type Decimal, decimal, type InCurrency, minorDigits } from '../plans/money.ts';
import type { InvoiceLine } from '../plans/rate.ts';
import { type Store, uint64 } from '../store/store.ts';
import type { TypeQuantities } from './figures.ts';
import { lockedLines, lockedText } from './locked-lines.ts';

/** What a closing has billed a tenant for a month: its own, or an earlier one of which it bills what has changed. */
export interface Billed {
  closingId: string;
  tenant: string;
  /** That the events are of: 2026-10. */
  month: string;
  /** Of an earlier month, what had changed, with its sign. */
  figures: readonly TypeQuantities[];
  /** What it was billed by; null without a plan. */
  plan: LockedPlan | null;
  /** Of its invoice; null without a plan, of an adjustment, and of closings from before they were locked. */
  lines: readonly InvoiceLine[] | null;
  /** Of the lines, or of the adjustment. */
  amount: Decimal | null;
  quota: Quota;
  /** Percentages of the quota that alerts had. */
  thresholds: readonly number[];
}

/** A plan as it was when it was billed by. */
export interface LockedPlan extends InCurrency {
  name: string;
  version: number;
  /** YAML, as it was applied. */
  text: string;
}

/** Rows of one insert. */
const CHUNK = 5_000;

/** Writes what a closing bills. It counts with the closing's record, which comes after. */
export async function writeBilled(store: Store, billed: readonly Billed[]): Promise<void> {
  await insert(
    store,
    'infrasage_billed_figures',
    billed.flatMap(({ closingId, tenant, month, figures }) =>
      figures.map(({ type, events, bytesIngested, bytesReceived }) => ({
        ...{ closing_id: closingId, tenant_id: tenant, month, event_type: type },
        ...{ events, bytes_ingested: bytesIngested, bytes_received: bytesReceived },
      })),
    ),
  );
  await insert(
    store,
    'infrasage_billed_terms',
    billed.map(({ closingId, tenant, month, plan, lines, amount, quota, thresholds }) => ({
      ...{ closing_id: closingId, tenant_id: tenant, month },
      ...{ plan: plan?.name ?? '', plan_version: plan?.version ?? 0, plan_text: plan?.text ?? '' },
      ...{
        currency: plan?.currency ?? '',
        digits: plan ? String(plan.digits) : '',
        amount: amount?.toFixed() ?? '',
      },
      ...{ quota_events: quota.events ?? 0n, quota_bytes: quota.bytes ?? 0n },
      ...{ thresholds: JSON.stringify(thresholds), lines: lines ? lockedText(lines) : '' },
    })),
  );
}

async function insert(store: Store, table: string, rows: Parameters<Store['insert']>[1][]): Promise<void> {
  for (let i = 0; i < rows.length; i += CHUNK) await store.insert(table, ...rows.slice(i, i + CHUNK));
}

const limit = uint64.transform((value) => (value === 0n ? null : value));

/** Of the columns that say by which plan, and what it came to. */
const terms = {
  ...{ closing_id: z.string(), tenant_id: z.string(), month: z.string() },
  ...{ plan: z.string(), plan_version: z.coerce.number(), plan_text: z.string() },
  ...{ currency: z.string(), digits: z.string(), amount: z.string() },
};

/** What a closing has billed, to one tenant or to all, by month and tenant; figures largest first. */
export async function readBilled(
  store: Pick<Store, 'query'>,
  { closingId, tenantId }: { closingId: string; tenantId: string | null },
): Promise<Billed[]> {
  const of = `closing_id = {id:String} ${tenantId === null ? '' : 'AND tenant_id = {tenant:String}'}`;
  const params = { id: closingId, tenant: tenantId ?? '' };
  const figures = await store.query(
    `SELECT tenant_id, month, event_type, events, bytes_ingested, bytes_received
    FROM {{db}}.infrasage_billed_figures FINAL WHERE ${of} ORDER BY events DESC, tenant_id, event_type`,
    z.object({
      ...{ tenant_id: z.string(), month: z.string(), event_type: z.string() },
      ...{ events: uint64, bytes_ingested: uint64, bytes_received: uint64 },
    }),
    params,
  );
  const rows = await store.query(
    `SELECT * FROM {{db}}.infrasage_billed_terms FINAL WHERE ${of} ORDER BY month, tenant_id`,
    z.object({
      ...{ ...terms, quota_events: limit, quota_bytes: limit },
      thresholds: z.string().transform((text) => z.array(z.number()).parse(JSON.parse(text))),
      lines: z.string().transform((text) => (text === '' ? null : lockedLines(text))),
    }),
    params,
  );
  const theirs = groupBy(figures, keyOf);
  return rows.map(
    (row): Billed => ({
      ...{ closingId, tenant: row.tenant_id, month: row.month },
      figures: (theirs.get(keyOf(row)) ?? []).map((figure) => ({
        ...{ type: figure.event_type, events: figure.events },
        ...{ bytesIngested: figure.bytes_ingested, bytesReceived: figure.bytes_received },
      })),
      ...{ ...termsOf(row), lines: row.lines },
      quota: { events: row.quota_events, bytes: row.quota_bytes },
      thresholds: row.thresholds,
    }),
  );
}

/** By what a month of a tenant was billed, and to what it came. */
export type Terms = Pick<Billed, 'closingId' | 'tenant' | 'month' | 'plan' | 'amount'>;

/** Tenants in one question: the longest names are still within the address of a request. */
const ASKED = 500;

/** By what closings have billed these months of these tenants: of each, one for every closing that did. */
export async function readTerms(
  store: Pick<Store, 'query'>,
  { closingIds, of }: { closingIds: readonly string[]; of: readonly { tenant: string; month: string }[] },
): Promise<Terms[]> {
  const found: Terms[] = [];
  for (const [month, ones] of groupBy(of, (one) => one.month)) {
    const tenants = ones.map(({ tenant }) => tenant);
    for (let i = 0; i < tenants.length; i += ASKED) {
      const rows = await store.query(
        `SELECT closing_id, tenant_id, month, plan, plan_version, plan_text, currency, digits, amount
        FROM {{db}}.infrasage_billed_terms FINAL
        WHERE closing_id IN {ids:Array(String)} AND tenant_id IN {tenants:Array(String)} AND month = {month:String}
        ORDER BY tenant_id, closing_id`,
        z.object(terms),
        { ids: closingIds, tenants: tenants.slice(i, i + ASKED), month },
      );
      for (const row of rows)
        found.push({ closingId: row.closing_id, tenant: row.tenant_id, month, ...termsOf(row) });
    }
  }
  return found;
}

function termsOf(row: z.infer<z.ZodObject<typeof terms>>): Pick<Billed, 'plan' | 'amount'> {
  const { plan: name, plan_version: version, plan_text: text, currency, amount } = row;
  // Closings from before digits were locked have none.
  const digits = row.digits === '' ? minorDigits(currency) : Number(row.digits);
  return {
    plan: name === '' ? null : { name, version, text, currency, digits },
    amount: amount === '' ? null : decimal(amount),
  };
}

function keyOf({ tenant_id, month }: { tenant_id: string; month: string }) {
  return JSON.stringify([tenant_id, month]);
}
