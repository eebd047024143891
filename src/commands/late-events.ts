import { readClosings } from '../billing/closings.ts';
import type { Context } from '../context.ts';
import { plural } from '../render/text.ts';
import type { Reader } from '../store/store.ts';

/** Of events by month, those of months that are closed: their bills stay, and a later one has what changed. */
export async function lateEvents(
  store: Reader,
  months: Readonly<Record<string, bigint>>,
): Promise<Record<string, bigint>> {
  if (Object.keys(months).length === 0) return {};
  const closings = await readClosings(store);
  return Object.fromEntries(Object.entries(months).filter(([month]) => closings.of(month)));
}

/** Events by month, of what several parts of a month have. */
export function eventsByMonth(parts: readonly { month: string; events: bigint }[]): Record<string, bigint> {
  const months: Record<string, bigint> = {};
  for (const { month, events } of parts) months[month] = (months[month] ?? 0n) + events;
  return months;
}

/** What becomes of late events, in one line; none where there are none. */
export function lateNotes(late: Readonly<Record<string, bigint>>, context: Context): string[] {
  const events = Object.values(late).reduce((sum, count) => sum + count, 0n);
  return events === 0n
    ? []
    : [
        `${plural(events, 'event')} for closed months (${Object.keys(late).join(', ')}): an adjustment on the bill of the next open one, ${context.commandLine('billing --month')}`,
      ];
}

/** Late events as JSON has them; nothing where there are none. */
export function lateJson(late: Readonly<Record<string, bigint>>): { closed_months?: Record<string, bigint> } {
  return Object.keys(late).length > 0 ? { closed_months: late } : {};
}
