import { readClosings } from '../billing/closings.ts';
import type { Context } from '../context.ts';
import { plural } from '../render/text.ts';
import type { Reader } from '../store/store.ts';

/** Events of months that are closed: their bills stay, and a later one has what changed. */
export interface LateEvents {
  months: Readonly<Record<string, bigint>>;
  /** The month whose bill has it: the first that is open. */
  billedIn: string | null;
}

export const NO_LATE_EVENTS: LateEvents = { months: {}, billedIn: null };

/** Of events by month, those of months that are closed. */
export async function lateEvents(
  store: Reader,
  months: Readonly<Record<string, bigint>>,
): Promise<LateEvents> {
  if (Object.keys(months).length === 0) return NO_LATE_EVENTS;
  const closings = await readClosings(store);
  return {
    months: Object.fromEntries(Object.entries(months).filter(([month]) => closings.of(month))),
    billedIn: closings.neighbours?.after ?? null,
  };
}

/** Events by month, of what several parts of a month have. */
export function eventsByMonth(parts: readonly { month: string; events: bigint }[]): Record<string, bigint> {
  const months: Record<string, bigint> = {};
  for (const { month, events } of parts) months[month] = (months[month] ?? 0n) + events;
  return months;
}

/** What becomes of late events, in one line; none where there are none. */
export function lateNotes({ months, billedIn }: LateEvents, context: Context): string[] {
  const events = Object.values(months).reduce((sum, count) => sum + count, 0n);
  return events === 0n || billedIn === null
    ? []
    : [
        `${plural(events, 'event')} for closed months (${Object.keys(months).join(', ')}): an adjustment on the bill of ${billedIn}, ${context.commandLine(`billing --month ${billedIn}`)}`,
      ];
}

/** Late events as JSON has them; nothing where there are none. */
export function lateJson({ months }: LateEvents): { closed_months?: LateEvents['months'] } {
  return Object.keys(months).length > 0 ? { closed_months: months } : {};
}
