import { z } from 'zod';
import type { Quota } from '../alerts/quotas.ts';
import { type Decimal, decimal } from '../plans/money.ts';
import type { InvoiceLine } from '../plans/rate.ts';
import { type Store, uint64 } from '../store/store.ts';
import type { TypeQuantities } from './figures.ts';
import { groupBy } from './group-by.ts';
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
  /** Of its invoice; null without a plan, of an adjustment, and where they are not asked for. */
  lines: readonly InvoiceLine[] | null;
  /** Of the lines, or of the adjustment. */
  amount: Decimal | null;
  quota: Quota;
  /** Percentages of the quota that alerts had. */
  thresholds: readonly number[];
}

/** A plan as it was when it was billed by. */
export interface LockedPlan {
  name: string;
  version: number;
  /** YAML, as it was applied. */
  text: string;
  currency: string;
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
      ...{ currency: plan?.currency ?? '', amount: amount?.toFixed() ?? '' },
      ...{ quota_events: quota.events ?? 0n, quota_bytes: quota.bytes ?? 0n },
      ...{ thresholds: JSON.stringify(thresholds), lines: lines ? lockedText(lines) : '' },
    })),
  );
}

async function insert(store: Store, table: string, rows: Parameters<Store['insert']>[1][]): Promise<void> {
  for (let i = 0; i < rows.length; i += CHUNK) await store.insert(table, ...rows.slice(i, i + CHUNK));
}

const limit = uint64.transform((value) => (value === 0n ? null : value));

/**
 * What closings have billed, of one tenant or of all; figures largest first.
 * @param wanted.lines whether with the lines of invoices, which are most of it
 */
export async function readBilled(
  store: Pick<Store, 'query'>,
  { closingIds, tenantId, lines }: { closingIds: readonly string[]; tenantId: string | null; lines: boolean },
): Promise<Billed[]> {
  if (closingIds.length === 0) return [];
  const of = `closing_id IN {ids:Array(String)} ${tenantId === null ? '' : 'AND tenant_id = {tenant:String}'}`;
  const params = { ids: closingIds, tenant: tenantId ?? '' };
  const figures = await store.query(
    `SELECT closing_id, tenant_id, month, event_type, events, bytes_ingested, bytes_received
    FROM {{db}}.infrasage_billed_figures FINAL WHERE ${of} ORDER BY events DESC, tenant_id, event_type`,
    z.object({
      ...{ closing_id: z.string(), tenant_id: z.string(), month: z.string(), event_type: z.string() },
      ...{ events: uint64, bytes_ingested: uint64, bytes_received: uint64 },
    }),
    params,
  );
  const terms = await store.query(
    `SELECT * ${lines ? '' : 'EXCEPT lines'} FROM {{db}}.infrasage_billed_terms FINAL
    WHERE ${of} ORDER BY month, tenant_id, closing_id`,
    z.object({
      ...{ closing_id: z.string(), tenant_id: z.string(), month: z.string() },
      ...{ plan: z.string(), plan_version: z.coerce.number(), plan_text: z.string() },
      ...{ currency: z.string(), amount: z.string(), quota_events: limit, quota_bytes: limit },
      thresholds: z.string().transform((text) => z.array(z.number()).parse(JSON.parse(text))),
      lines: z
        .string()
        .default('')
        .transform((text) => (text === '' ? null : lockedLines(text))),
    }),
    params,
  );
  const theirs = groupBy(figures, keyOf);
  return terms.map((row): Billed => {
    const { plan: name, plan_version: version, plan_text: text, currency } = row;
    return {
      ...{ closingId: row.closing_id, tenant: row.tenant_id, month: row.month },
      figures: (theirs.get(keyOf(row)) ?? []).map((figure) => ({
        ...{ type: figure.event_type, events: figure.events },
        ...{ bytesIngested: figure.bytes_ingested, bytesReceived: figure.bytes_received },
      })),
      plan: name === '' ? null : { name, version, text, currency },
      ...{ lines: row.lines, amount: row.amount === '' ? null : decimal(row.amount) },
      quota: { events: row.quota_events, bytes: row.quota_bytes },
      thresholds: row.thresholds,
    };
  });
}

function keyOf({ closing_id, tenant_id, month }: { closing_id: string; tenant_id: string; month: string }) {
  return JSON.stringify([closing_id, tenant_id, month]);
}
