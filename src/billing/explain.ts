import { usageError } from '../errors.ts';
import { EVENT_TYPES } from '../ingest/contract.ts';
import { isoTime, type Month } from '../period.ts';
import type { Store } from '../store/store.ts';
import { type Bounded, type Figures, type Origin, type TraceWanted, traceFigures } from './trace.ts';

/** What a line of a bill comes from. */
export interface Explanation {
  wanted: Omit<TraceWanted, 'types' | 'figure'>;
  /** The event type that is explained. */
  type: string;
  origin: Origin;
}

/**
 * Explains the figures of an event type on a tenant's bill.
 * @throws InfrasageError (exit 2) where there is no such type on it
 */
export async function explain(
  store: Store,
  line: string,
  wanted: Omit<TraceWanted, 'types' | 'figure'>,
): Promise<Explanation> {
  const origin = await traceFigures(store, { ...wanted, types: [line], figure: 'events' });
  const known = (EVENT_TYPES as readonly string[]).includes(line);
  if (origin.types.length === 0 && !known)
    throw usageError(`${line} is no event type on this bill`, `use one of ${EVENT_TYPES.join(', ')}`);
  return { wanted, type: line, origin };
}

/** The documented JSON shape. */
export function explanationJson({ wanted, type, origin }: Explanation) {
  const { tenantId, month, by } = wanted;
  const { total, times, batches, unattributed } = origin;
  return {
    tenant_id: tenantId,
    month: month.name,
    period: periodJson(month),
    explains: type,
    ...total,
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
      ...figuresOf(unattributed),
    },
  };
}

function omittedJson({ omitted }: Bounded<Figures>) {
  return omitted && { rows: omitted.rows, ...figuresOf(omitted) };
}

function figuresOf({ events, bytes_ingested, bytes_received }: Figures): Figures {
  return { events, bytes_ingested, bytes_received };
}

function periodJson({ period }: Month) {
  return { start: isoTime(period.start), end: isoTime(period.end) };
}
