import { usageError } from '../errors.ts';
import { EVENT_TYPES } from '../ingest/contract.ts';
import { isoTime, type Month } from '../period.ts';
import { amountText, type Decimal } from '../plans/money.ts';
import type { Plan } from '../plans/plan.ts';
import { type InvoiceLine, subtotal } from '../plans/rate.ts';
import { shellWord } from '../settings/place.ts';
import type { Store } from '../store/store.ts';
import { bill } from './bill.ts';
import type { TypeFigures } from './figures.ts';
import { type Invoice, lineJson } from './invoice.ts';
import {
  type Bounded,
  FIGURES,
  type Figure,
  type Figures,
  less,
  type Origin,
  type TraceWanted,
  traceFigures,
} from './trace.ts';

/** What a line of a bill comes from. */
export interface Explanation {
  wanted: ExplainWanted;
  /** The lines of an invoice; null where an event type is explained. */
  charged: Charged | null;
  /** What is metered for it by now; null for fees and for the minimum of the whole plan, which nothing was metered for. */
  origin: Origin | null;
  /** Of that, what is not on this bill; of a line, in its dimension alone. */
  notBilled: Figures;
  /** Whether the bill is closed; of an open one, what is not on it came while this was looked up. */
  closed: boolean;
}

/** How it comes to its amount. */
export interface Charged {
  invoice: Invoice;
  /** All lines of the charge, each tier with what fell into it; of the plan's minimum, all lines with those it tops up. */
  lines: readonly InvoiceLine[];
  /** null where nothing was metered for it. */
  dimension: Figure | null;
  /** null for all. */
  eventTypes: readonly string[] | null;
  /** Of all these lines. */
  quantity: bigint | null;
  amount: Decimal;
}

export interface ExplainWanted extends Omit<TraceWanted, 'types' | 'figure'> {
  /** A line of the invoice, a charge of its plan, or an event type. */
  name: string;
  now: Date;
  /** To be tried in the place of the plan in force. */
  plan?: Plan | undefined;
}

/**
 * Explains a line of a tenant's invoice, with all lines of its charge, or the figures of an event type.
 * @throws InfrasageError (exit 2) where there is nothing of this name on the bill
 */
export async function explain(store: Store, wanted: ExplainWanted): Promise<Explanation> {
  const { name, tenantId, month, now, plan } = wanted;
  const { found, invoices, closing } = await bill(store, { tenantId, month, now, plan });
  const closed = closing !== null;
  // A tenant may have a second one, without lines, for adjustments in another currency.
  const [invoice] = invoices;
  const lines = invoice ? linesOf(invoice, name) : [];
  if (!invoice || lines.length === 0) {
    const origin = await traceFigures(store, { ...wanted, types: [name], figure: 'events' });
    if (origin.types.length === 0 && !(EVENT_TYPES as readonly string[]).includes(name))
      throw unknown(wanted, invoice);
    const billed = figuresOf(found.figures.find(({ type }) => type === name));
    return { wanted, charged: null, origin, notBilled: less(origin.total, billed), closed };
  }
  const metered = lines.find(({ dimension, charge }) => dimension !== null && charge !== null);
  const common = { invoice, lines, amount: subtotal(lines) };
  // Lines of several charges have no quantity between them.
  if (!metered?.dimension || lines.some(({ charge }) => charge !== metered.charge)) {
    const charged = { ...common, dimension: null, eventTypes: null, quantity: null };
    return { wanted, charged, origin: null, notBilled: NONE, closed };
  }
  const { dimension, eventTypes } = metered;
  const origin = await traceFigures(store, { ...wanted, types: eventTypes, figure: dimension });
  const quantity = lines.reduce((total, line) => total + (line.quantity ?? 0n), 0n);
  const notBilled = { ...NONE, [dimension]: origin.total[dimension] - quantity };
  return { wanted, charged: { ...common, dimension, eventTypes, quantity }, origin, notBilled, closed };
}

const NONE: Figures = { events: 0n, bytes_ingested: 0n, bytes_received: 0n };

function figuresOf(billed: TypeFigures | undefined): Figures {
  if (!billed) return NONE;
  const { events, bytesIngested, bytesReceived } = billed;
  return { events, bytes_ingested: bytesIngested, bytes_received: bytesReceived };
}

function linesOf({ lines }: Invoice, name: string): readonly InvoiceLine[] {
  const line = lines.find(({ id }) => id === name);
  if (line?.kind === 'base_fee') return [line];
  if (line && line.charge === null) return lines;
  const charge = line?.charge ?? name;
  return lines.filter((other) => other.charge === charge);
}

function unknown({ name, tenantId }: ExplainWanted, invoice: Invoice | undefined) {
  const earlier = invoice?.adjustments.find(({ month }) => name === `adjustment.${month}`);
  if (earlier) {
    const size = ({ events }: { events: bigint }) => (events < 0n ? -events : events);
    const [most] = [...earlier.quantities].sort((a, b) => Number(size(b) - size(a)));
    return usageError(
      `${name} is for an earlier month`,
      `infrasage billing --month ${earlier.month} --explain ${most?.type} --tenant ${shellWord(tenantId)} has what that month comes from`,
    );
  }
  const names = [...(invoice?.lines.map(({ id }) => id) ?? []), ...EVENT_TYPES];
  return usageError(`${name} is not on this bill`, `use one of ${names.join(', ')}`);
}

/** The documented JSON shape. */
export function explanationJson({ wanted, charged, origin, notBilled }: Explanation) {
  const { tenantId, month, name } = wanted;
  return {
    tenant_id: tenantId,
    month: month.name,
    period: periodJson(month),
    explains: name,
    ...(charged && { invoice: chargedJson(charged, notBilled) }),
    ...(origin && originJson(origin, wanted)),
    ...(!charged && FIGURES.some((name) => notBilled[name] !== 0n) && { not_billed: notBilled }),
  };
}

function chargedJson(
  { invoice, lines, dimension, eventTypes, quantity, amount }: Charged,
  notBilled: Figures,
) {
  const { plan, currency } = invoice;
  return {
    ...{ plan, currency, lines: lines.map((line) => lineJson(line, invoice)), dimension },
    ...{ event_types: eventTypes, quantity, amount: amountText(amount, invoice) },
    not_billed: dimension === null ? 0n : notBilled[dimension],
  };
}

function originJson({ total, types, times, batches, unattributed }: Origin, { by }: ExplainWanted) {
  return {
    ...total,
    by_type: types.map(({ type, ...figures }) => ({ event_type: type, ...figures })),
    by,
    times: times.rows.map(({ start, ...figures }) => ({ start: isoTime(start), ...figures })),
    times_omitted: omittedJson(times),
    batches: batches.rows.map(({ batchId, source, receivedAt, ...figures }) => ({
      batch_id: batchId,
      source,
      received_at: receivedAt && isoTime(receivedAt),
      ...figures,
    })),
    batches_omitted: omittedJson(batches),
    unattributed: unattributed && {
      reason: unattributed.reason,
      raw_kept_since: unattributed.keptSince && isoTime(unattributed.keptSince),
      ...onlyFigures(unattributed),
    },
  };
}

function omittedJson({ omitted }: Bounded<Figures>) {
  return omitted && { rows: omitted.rows, ...onlyFigures(omitted) };
}

function onlyFigures({ events, bytes_ingested, bytes_received }: Figures): Figures {
  return { events, bytes_ingested, bytes_received };
}

function periodJson({ period }: Month) {
  return { start: isoTime(period.start), end: isoTime(period.end) };
}
