import { monthOf } from '../period.ts';
import type { Screen } from '../render/screen.ts';
import { formatBytes, formatCount } from '../render/text.ts';
import { type Live, MOST_ROWS, type Order, perSecond, type Rate, WINDOW_SECONDS } from '../reports/live.ts';
import { limitsChart } from './charts.ts';

/** What the screen says beside the figures. */
export interface Words {
  order: Order;
  foot: string;
  warning?: string;
}

/** The screen before the first look has come. */
export function waiting({ foot, warning }: Words): Screen {
  return { head: [['infrasage top'], ['waiting']], course: [], rows: [], foot, ...(warning && { warning }) };
}

/** The screen of a look. */
export function screenOf(found: Live, { order, foot, warning }: Words): Screen {
  const { tenantId, at, events, bytes, course, letters, limits, limitsInAll } = found;
  const lost = letters.reduce((sum, { lines }) => sum + lines, 0n);
  const [gauges] = limitsChart(limits, monthOf(at));
  const block = gauges ?? {
    kind: 'gauges' as const,
    title: `Quotas of ${monthOf(at).name}`,
    gauges: [],
  };
  const rates = (title: string, rows: readonly Rate[]) => ({
    kind: 'table' as const,
    title,
    figures: ['events/s', 'sent/s'],
    rows: rows.map((rate) => ({
      name: rate.tenant_id === undefined ? rate.name : `${rate.name} (${rate.tenant_id})`,
      figures: [rateWords(rate.events), `${formatBytes(Number(rate.bytes) / WINDOW_SECONDS)}`],
    })),
    cut: rows.length === MOST_ROWS,
    empty: `nothing was stored in the last ${WINDOW_SECONDS} s`,
  });
  return {
    head: [
      [
        `infrasage top: ${tenantId ?? 'all tenants'}`,
        `stored in the last ${WINDOW_SECONDS} s, by ${order}`,
        `${at.toISOString().slice(11, 19)} UTC`,
      ],
      [
        `${rateWords(events)} events/s`,
        `${rateWords(lost)} rejected/s`,
        `${formatBytes(Number(bytes) / WINDOW_SECONDS)}/s sent`,
      ],
    ],
    course,
    rows: [
      [rates('Tenant', found.tenants), rates('Type', found.types)],
      [
        rates('Service', found.services),
        {
          kind: 'table',
          title: 'Dead letters',
          figures: [`last ${WINDOW_SECONDS} s`, 'last 24 h'],
          rows: letters.map(({ error, lines, linesOfDay }) => ({
            name: error,
            figures: [formatCount(lines), formatCount(linesOfDay)],
          })),
          empty: 'none in the last 24 hours',
        },
      ],
      [{ ...block, more: limitsInAll - block.gauges.length }],
    ],
    foot,
    ...(warning !== undefined && { warning }),
  };
}

/** A rate for people: whole from ten on. */
function rateWords(amount: bigint): string {
  const rate = perSecond(amount);
  return rate >= 10 || rate === 0 ? formatCount(Math.round(rate)) : rate.toFixed(1).replace('0.0', '<0.1');
}
