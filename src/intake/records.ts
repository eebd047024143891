import { CR, LF } from '../ingest/input.ts';
import { Refusal } from './refusal.ts';

const SPACE = 32;
const TAB = 9;
const QUOTE = 34;
const COMMA = 44;
const BACKSLASH = 92;
const OPEN_ARRAY = 91;
const CLOSE_ARRAY = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;

/** What each byte is to the scan outside of strings: 0 for nothing. */
const ROLE = new Uint8Array(256);
for (const byte of [QUOTE, COMMA, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT, LF]) ROLE[byte] = 1;

/**
 * The elements of a JSON array as lines, each ended by a line feed.
 *
 * A line is the bytes of its element as sent, without the white space around
 * it; numbers, key order, repeated keys and escapes stay as they are. One byte
 * is not: a line feed within an element is a carriage return in its line. Both
 * are white space outside of strings, and within a string neither is JSON, so
 * no meaning and no length changes.
 *
 * Only brackets, commas and strings are looked at: an element that is not JSON
 * within itself is a line, for the pipeline to reject at its place. Where the
 * brackets do not match, no element has a certain end, and the body is refused.
 * @param body is changed: lines are made in place
 * @returns the lines, a part of body, and how many they are
 * @throws Refusal
 */
export function arrayLines(body: Buffer, most: number): { lines: Buffer; count: number } {
  let at = skipBlank(body, afterMark(body));
  if (body[at] !== OPEN_ARRAY) throw notAnArray('it does not start with [');
  at += 1;
  const begin = skipBlank(body, at);
  if (body[begin] === CLOSE_ARRAY) {
    assertEnd(body, begin + 1);
    return { lines: body.subarray(0, 0), count: 0 };
  }
  let count = 0;
  let depth = 0;
  // Where the next line goes: never beyond what was read, since an element and its comma are no shorter.
  let to = 0;
  let start = at;
  for (; at < body.length; at++) {
    const byte = body[at] as number;
    if (ROLE[byte] === 0) continue;
    if (byte === QUOTE) {
      at = endOfString(body, at);
    } else if (byte === LF) {
      body[at] = CR;
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      depth += 1;
    } else if (depth > 0) {
      if (byte !== COMMA) depth -= 1;
    } else if (byte === CLOSE_OBJECT) {
      throw notAnArray(`there is a } too many at byte ${at + 1}`);
    } else {
      const from = skipBlank(body, start);
      const end = skipBlankBack(body, at);
      if (from >= end) throw notAnArray(`there is no element before byte ${at + 1}`);
      count += 1;
      if (count > most) throw tooMany(most);
      body.copyWithin(to, from, end);
      to += end - from;
      body[to++] = LF;
      start = at + 1;
      if (byte === CLOSE_ARRAY) {
        assertEnd(body, start);
        return { lines: body.subarray(0, to), count };
      }
    }
  }
  throw notAnArray('it ends before its last ]');
}

/**
 * One JSON value as a line, ended by a line feed: its bytes as sent but for
 * the white space around it, and carriage returns for line feeds, as in
 * arrayLines.
 * @throws Refusal for a body of nothing but white space
 */
export function oneLine(body: Buffer): Buffer {
  const from = skipBlank(body, afterMark(body));
  const end = skipBlankBack(body, body.length);
  if (from >= end) throw new Refusal('malformed', 'the body is empty', { hint: 'send one JSON object' });
  for (let at = body.indexOf(LF, from); at >= 0 && at < end; at = body.indexOf(LF, at)) body[at] = CR;
  return Buffer.concat([body.subarray(from, end), Buffer.of(LF)]);
}

/** The lines of an NDJSON body, as sent; a last one without an ending gets one. */
export function ndjsonLines(body: Buffer): Buffer {
  const lines = body.subarray(afterMark(body));
  const last = lines[lines.length - 1];
  if (last === undefined || last === LF) return lines;
  // A carriage return at the very end belongs to its line; with an ending after it, it stays there.
  return Buffer.concat([lines, last === CR ? Buffer.of(CR, LF) : Buffer.of(LF)]);
}

/** Position after a byte order mark. */
function afterMark(body: Buffer): number {
  return body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0;
}

function skipBlank(body: Buffer, from: number): number {
  let at = from;
  while (at < body.length && isBlank(body[at])) at += 1;
  return at;
}

/** The end of what comes before this position without the white space at its end. */
function skipBlankBack(body: Buffer, from: number): number {
  let end = from;
  while (end > 0 && isBlank(body[end - 1])) end -= 1;
  return end;
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === LF || byte === CR || byte === TAB;
}

/** Position of the quote that ends a string; line feeds in it become carriage returns. */
function endOfString(body: Buffer, quote: number): number {
  for (let at = quote + 1; at < body.length; at++) {
    const byte = body[at];
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH) at += 1;
    if (body[at] === LF) body[at] = CR;
  }
  throw notAnArray(`the string at byte ${quote + 1} has no end`);
}

function assertEnd(body: Buffer, from: number): void {
  const at = skipBlank(body, from);
  if (at < body.length) throw notAnArray(`there is more after its end, at byte ${at + 1}`);
}

function notAnArray(words: string): Refusal {
  return new Refusal('malformed', `the body is not a JSON array: ${words}`, {
    hint: 'send a JSON array of events, or one event a line as application/x-ndjson',
  });
}

function tooMany(most: number): Refusal {
  return new Refusal('too_large', `the array has more than ${most} elements`, {
    hint: 'send it in parts, or as application/x-ndjson, which has no such limit',
  });
}
