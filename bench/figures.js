// Figures of several rounds, and how they are printed.

/** @typedef {{ median: number, min: number, max: number }} Spread */

/** @param {readonly number[]} values @returns {Spread} */
export function spread(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (/** @type {number} */ i) => sorted[i] ?? Number.NaN;
  const half = sorted.length >> 1;
  const median = sorted.length % 2 ? at(half) : (at(half - 1) + at(half)) / 2;
  return { median, min: at(0), max: at(sorted.length - 1) };
}

/** @param {readonly number[]} values */
export const median = (values) => spread(values).median;

/** @param {Spread} spread @param {(n: number) => string} form */
export const shown = ({ median, min, max }, form) =>
  Number.isNaN(median) ? '-' : `${form(median)} (${form(min)}–${form(max)})`;

export const whole = (/** @type {number} */ n) => Math.round(n).toLocaleString('en-US');
export const decimals = (/** @type {number} */ digits) => (/** @type {number} */ n) => n.toFixed(digits);
export const seconds = (/** @type {number} */ ms) => (ms / 1000).toFixed(2);

/** @param {readonly string[][]} rows the first is the head */
export function tableText(rows) {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const text = rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('   ')
      .trimEnd(),
  );
  text.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('   '));
  return text.join('\n');
}
