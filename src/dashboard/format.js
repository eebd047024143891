// Figures and names as text, written as the command line writes them.

/** @typedef {number | bigint} Amount a count that is exact to 64 bits */

const COUNT = new Intl.NumberFormat('en-US');
const SHORT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** A whole number with thousands separators. @param {Amount} value */
export const count = (value) => COUNT.format(value);

/** A length in bytes: 1.50 MiB. @param {Amount} value */
export function bytes(value) {
  const { size, unit } = scaled(value);
  return `${size.toFixed(2)} ${unit}`;
}

/** A whole number for an axis: 1.5K. @param {number} value */
export const shortCount = (value) => SHORT.format(value);

/** A length in bytes for an axis: 512 KiB. @param {number} value */
export function shortBytes(value) {
  const { size, unit } = scaled(value);
  return `${Number(size.toFixed(1))} ${unit}`;
}

/** @param {Amount} value */
function scaled(value) {
  let size = Number(value);
  let unit = 0;
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return { size, unit: UNITS[unit] };
}

/**
 * A part of a whole: 12.3 %.
 * @param {Amount} part
 * @param {Amount} whole
 */
export function share(part, whole) {
  return `${(Number(whole) === 0 ? 0 : (Number(part) / Number(whole)) * 100).toFixed(1)} %`;
}

/**
 * How much of a quota is used, in per cent with two decimals, rounded down as in the bill.
 * @param {Amount} used
 * @param {Amount} quota
 */
export function usedPercent(used, quota) {
  return `${Number((BigInt(used) * 10_000n) / BigInt(quota)) / 100} %`;
}

/** @param {readonly Amount[]} values */
export const sum = (values) => values.reduce((/** @type {bigint} */ all, value) => all + BigInt(value), 0n);

const CONTROL = /[\p{Cc}\u2028\u2029]/gu;
const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** A name from outside, without what would show it in another order than it is. @param {string} text */
export const printable = (text) => text.replace(CONTROL, ' ').replace(BIDI, '');

/** 2026-11-24 11:00 for 2026-11-24T11:00:00Z; days stay as they are. @param {string} time */
export const shortTime = (time) => time.replace('T', ' ').replace(/(:\d{2})(:\d{2}(\.\d+)?)?Z$/, '$1');
