// The periods that can be chosen.

/** @import { Span } from './api.js' */

/** @typedef {{ span: Span, step: 'hour' | 'day', words: string }} Chosen */

/**
 * @param {string} name 24h, 7d, 30d or month
 * @param {Date} now
 * @returns {Chosen}
 */
export function chosen(name, now) {
  if (name === '7d') return { span: { since: '7d' }, step: 'hour', words: 'the last 7 days' };
  if (name === '30d') return { span: { since: '30d' }, step: 'day', words: 'the last 30 days' };
  if (name === 'month') {
    // To its end, as the bill has it: events stamped ahead into the next month are not this one's.
    const start = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1);
    const end = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1);
    return { span: { since: day(start), until: day(end) }, step: 'day', words: 'this month' };
  }
  return { span: { since: '24h' }, step: 'hour', words: 'the last 24 hours' };
}

/** @param {number} time */
const day = (time) => new Date(time).toISOString().slice(0, 10);
