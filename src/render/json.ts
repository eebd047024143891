import { isInteger, parse, stringify } from 'lossless-json';
import type { Report } from './report.ts';

/** Characters that JSON lets stand but a terminal may act on: C1 controls, DEL, bidi controls. */
const ACTIVE = /[\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Indented JSON. Integers stay exact to 64 bits; nothing in it can act on a terminal. */
export function renderJson({ data }: Report): string {
  return `${inert(stringify(data, null, 2) ?? 'null')}\n`;
}

/** One JSON object a row and line. */
export function renderNdjson({ rows }: Report): string {
  return rows.map((row) => `${jsonText(row)}\n`).join('');
}

/** JSON in one line, exact and inert like the rest. */
export function jsonText(value: unknown): string {
  return inert(stringify(value) ?? 'null');
}

/**
 * What JSON says, with integers in full: bigint where a number would round. Of a key that comes again, as a Map of the
 * engine may have one, the first value, which is also what the engine finds under that key.
 * @throws SyntaxError
 */
export function jsonValue(text: string): unknown {
  return parse(text, undefined, {
    parseNumber(digits) {
      const value = Number(digits);
      return isInteger(digits) && !Number.isSafeInteger(value) ? BigInt(digits) : value;
    },
    onDuplicateKey: ({ oldValue }) => oldValue,
  });
}

function inert(json: string): string {
  return json.replace(ACTIVE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
