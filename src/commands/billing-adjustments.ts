import type { TenantAdjustment } from '../billing/adjustments.ts';
import { amountText } from '../plans/money.ts';
import type { Row } from '../render/report.ts';
import { formatBytes, formatCount, plural, printable } from '../render/text.ts';

/** Adjustments that are written out; of more, the number is given. */
const MOST_NAMED = 10;

/** Adjustments as rows of a bill without a plan: the types of each. */
export function adjustmentRows(adjustments: readonly TenantAdjustment[]): (Row & { tenant_id: string })[] {
  return adjustments.flatMap(({ tenant, month, quantities }) =>
    quantities.map(({ type, events, bytesIngested }) => ({
      ...{ tenant_id: tenant, event_type: type, late_of: month, events, bytes: bytesIngested },
    })),
  );
}

/** What earlier months are billed for once more, a line each. */
export function adjustmentNotes(adjustments: readonly TenantAdjustment[]): string[] {
  const rest = adjustments.length - MOST_NAMED;
  return [
    ...adjustments.slice(0, MOST_NAMED).map(words),
    ...(rest > 0 ? [`${formatCount(rest)} more changes of earlier months: --json shows them all`] : []),
  ];
}

function words({ tenant, month, quantities, plan, amount }: TenantAdjustment): string {
  const events = quantities.reduce((total, one) => total + one.events, 0n);
  const stored = quantities.reduce((total, one) => total + one.bytesIngested, 0n);
  const money = plan && amount ? `, ${sign(amount.s > 0)}${amountText(amount, plan)} ${plan.currency}` : '';
  return `Changed of ${month} since it was billed, ${printable(tenant)}: ${sign(events >= 0n)}${plural(events, 'event')}, ${sign(stored >= 0n)}${formatBytes(stored)} stored${money}`;
}

/** A minus is written with the number. */
function sign(positive: boolean): string {
  return positive ? '+' : '';
}
