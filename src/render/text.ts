import { stripVTControlCharacters } from 'node:util';

/** Bidirectional controls: they make a terminal show text in another order than it is. */
const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
const CONTROL = /[\p{Cc}\u2028\u2029]/gu;
/** Most text is nothing but these: to see that takes a quarter of the time that cleaning it does. */
const PLAIN = /^[\x20-\x7e]*$/;

/** Text that comes from outside, safe to print on a terminal: no escape sequences, control or bidi characters. */
export function printable(text: string): string {
  if (PLAIN.test(text)) return text;
  return stripVTControlCharacters(text).replace(CONTROL, ' ').replace(BIDI, '');
}

/** Shortens text to a number of characters, with an ellipsis where something was cut. */
export function excerpt(text: string, length: number): string {
  const characters = [...text.slice(0, length * 2 + 2)];
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join('')}…`;
}

let short: Intl.NumberFormat | undefined;

/** A number for an axis: 1.5K. */
export function shortCount(value: number | bigint): string {
  short ??= new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });
  return short.format(value);
}

/** A length in bytes for an axis, in the unit of the largest one there: 1.5 KiB. */
export function shortBytes(value: number, largest = value): string {
  const { size, unit } = scaled(largest);
  const shown = largest === 0 ? 0 : (value / largest) * size;
  return `${Number(shown.toFixed(1))} ${unit}`;
}

/** A whole number with thousands separators. */
export function formatCount(value: number | bigint): string {
  // By hand: Intl.NumberFormat takes 28 ms to make, and a pattern looks through the digits again for each of them.
  let rest = String(typeof value === 'number' ? Math.round(value) : value);
  let groups = '';
  for (; LONG.test(rest); rest = rest.slice(0, -3)) groups = `,${rest.slice(-3)}${groups}`;
  return rest + groups;
}

/** A whole number of so many digits that some are set apart. */
const LONG = /^-?\d{4,}$/;

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** A length in bytes as ClickHouse's formatReadableSize writes it: `1.50 MiB`. */
export function formatBytes(value: number | bigint): string {
  const { size, unit } = scaled(value);
  return `${size.toFixed(2)} ${unit}`;
}

function scaled(value: number | bigint): { size: number; unit: string | undefined } {
  let size = Number(value);
  let unit = 0;
  while (Math.abs(size) >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return { size, unit: UNITS[unit] };
}

/** `1 line`, `2 lines`; the plural is the word with an s unless given. */
export function plural(value: number | bigint, word: string, many = `${word}s`): string {
  return `${formatCount(value)} ${BigInt(value) === 1n ? word : many}`;
}
