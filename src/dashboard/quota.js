// The month against its quota, with the thresholds and where the pace leads.

import { bar, el } from './dom.js';
import { bytes, count, usedPercent } from './format.js';

/** @import { Amount } from './format.js' */
/** @import { Summary } from './api.js' */

/** @param {Summary} summary */
export function limits({ thresholds, ...month }) {
  /** @param {string} dimension */
  const marksOf = (dimension) => thresholds.filter((threshold) => threshold.dimension === dimension);
  return [
    limit('Events', count, {
      used: month.total_events,
      quota: month.quota_events,
      projected: month.projected_events,
      marks: marksOf('events'),
    }),
    limit('Stored bytes', bytes, {
      used: month.total_bytes,
      quota: month.quota_bytes,
      projected: month.projected_bytes,
      marks: marksOf('bytes'),
    }),
  ];
}

/**
 * @param {string} title
 * @param {(amount: Amount) => string} write
 * @param {{ used: Amount, quota: Amount | null, projected: Amount, marks: Summary['thresholds'] }} of
 */
function limit(title, write, { used, quota, projected, marks }) {
  const heading = el('h3', {}, title);
  if (quota === null) {
    return el(
      'div',
      { class: 'limit' },
      heading,
      el('p', { class: 'figure' }, el('strong', {}, write(used))),
      el(
        'p',
        { class: 'note' },
        `At this pace ${write(projected)} by the end of the month. No quota is set.`,
      ),
    );
  }
  const percent = usedPercent(used, quota);
  const over = BigInt(projected) > BigInt(quota);
  const scale = Math.max(Number(quota), Number(used), Number(projected));
  /** @param {Amount} amount */
  const at = (amount) => Number(amount) / scale;
  const meter = el(
    'div',
    {
      class: 'meter',
      role: 'meter',
      'aria-label': `${title} of the month's quota`,
      'aria-valuemin': '0',
      'aria-valuemax': String(quota),
      // More than the most is not a value that a meter can have; the text says what it is.
      'aria-valuenow': String(BigInt(used) > BigInt(quota) ? quota : used),
      'aria-valuetext': `${percent}: ${write(used)} of ${write(quota)}`,
    },
    bar('projected', { '--to': at(projected) }),
    bar(`used ${stateOf(used, quota, marks)}`, { '--to': at(used) }),
    ...marks.map((mark) =>
      bar('mark', {
        '--to': (at(quota) * mark.threshold_percent) / 100,
      }),
    ),
    bar('mark quota', { '--to': at(quota) }),
  );
  return el(
    'div',
    { class: 'limit' },
    heading,
    el(
      'p',
      { class: 'figure' },
      el('strong', {}, write(used)),
      ` of ${write(quota)}`,
      el('span', { class: 'percent' }, percent),
    ),
    meter,
    el(
      'div',
      { class: 'under' },
      el('p', {}, ...alertWords(marks)),
      el(
        'p',
        { class: over ? 'over' : '' },
        `Projected ${write(projected)}, ${usedPercent(projected, quota)}${over ? ': over the quota' : ''}`,
      ),
    ),
  );
}

/**
 * @param {Amount} used
 * @param {Amount} quota
 * @param {Summary['thresholds']} marks
 */
function stateOf(used, quota, marks) {
  if (BigInt(used) >= BigInt(quota)) return 'full';
  return marks.some(({ reached }) => reached) ? 'warned' : '';
}

/** The thresholds; which of them are reached is said, not only coloured. @param {Summary['thresholds']} marks */
function alertWords(marks) {
  if (marks.length === 0) return ['No alerts'];
  const words = marks.map(({ threshold_percent, reached }) =>
    reached ? el('span', { class: 'reached' }, `${threshold_percent} % (reached)`) : `${threshold_percent} %`,
  );
  return ['Alerts at ', ...words.flatMap((word, i) => (i === 0 ? [word] : [', ', word]))];
}
