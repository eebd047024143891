import { CR, type Input, LF } from './input.ts';

/** The lines of some bytes of a source, and what is to be handed to the engine of them. */
export interface Scan {
  /** Length of the input it covers, line endings included. */
  bytes: number;
  /** Number in the source of its first line, from 1. */
  firstLine: number;
  /** Its lines, blank ones included. */
  sourceLines: number;
  /** Its lines that are events: those that are not blank. */
  lines: number;
  /** Whether some lines end in CRLF, and whether some are blank. */
  crlf: boolean;
  blank: boolean;
  /** Lines over the limit: number in the source and full length in bytes. */
  cut: { line: number; length: number }[];
  /**
   * What to hand to the engine: the lines, those over the limit cut to
   * KEPT_OF_LONG_LINE bytes. Parts of the bytes that were scanned, and valid as
   * long as they are: of a batch, until the next one is asked for.
   */
  pieces: Uint8Array[];
}

/** Of a line over the limit, the dead letter keeps this much. */
export const KEPT_OF_LONG_LINE = 64 * 1024;

/** Most events of a batch, whatever their bytes: the engine's memory goes by rows too. */
const MOST_LINES = 500_000;
/** Most lines over the limit: they are listed in the statement that writes the batch. */
const MOST_CUT = 2_000;
/** Ends a line that was cut: where a batch has such an ending, the engine takes one CR off each line. */
const CRLF = Buffer.of(CR, LF);

/** Counts the lines of a buffer, up to as many as a batch may have, and cuts out what is over the limit. */
export function scanLines(bytes: Uint8Array, firstLine: number, maxLine: number): Scan {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const pieces: Uint8Array[] = [];
  const cut: Scan['cut'] = [];
  let lines = 0;
  let crlf = false;
  let blank = false;
  let line = firstLine;
  let copied = 0;
  let start = 0;
  for (; start < buffer.length && lines < MOST_LINES && cut.length < MOST_CUT; line++) {
    const lf = buffer.indexOf(LF, start);
    const next = lf < 0 ? buffer.length : lf + 1;
    let end = lf < 0 ? buffer.length : lf;
    if (lf > start && buffer[lf - 1] === CR) {
      crlf = true;
      end -= 1;
    }
    if (isBlank(buffer, start, end)) blank = true;
    else lines += 1;
    if (end - start > maxLine && !isBlank(buffer, start, end)) {
      cut.push({ line, length: end - start });
      const kept = Math.min(end - start, KEPT_OF_LONG_LINE);
      pieces.push(buffer.subarray(copied, start + kept), CRLF);
      crlf = true;
      copied = next;
    }
    start = next;
  }
  const rest = buffer.subarray(copied, start);
  pieces.push(rest);
  // A carriage return at the very end belongs to its line; with an ending after it, it stays there.
  if (crlf && rest[rest.length - 1] === CR) pieces.push(CRLF);
  return { firstLine, sourceLines: line - firstLine, lines, crlf, blank, cut, pieces, bytes: start };
}

/** One line that fills the whole buffer: it is over any limit, and only its start is kept. */
export async function scanLongLine(
  input: Input,
  start: Uint8Array,
  line: number,
  hash: { update(bytes: Uint8Array): unknown },
): Promise<Scan> {
  let kept = Buffer.from(start.subarray(0, KEPT_OF_LONG_LINE));
  let blank = isBlank(start, 0, start.length);
  let bytes = start.length;
  let ending = 0;
  for await (const more of input.restOfLine()) {
    hash.update(more.bytes);
    blank &&= isBlank(more.bytes, 0, more.bytes.length - Math.min(more.ending, more.bytes.length));
    if (kept.length < KEPT_OF_LONG_LINE) {
      kept = Buffer.concat([kept, more.bytes.subarray(0, KEPT_OF_LONG_LINE - kept.length)]);
    }
    bytes += more.bytes.length;
    ending = more.ending;
  }
  // A CRLF may come in two pieces, and a part of it be among what was kept.
  const length = bytes - ending;
  kept = kept.subarray(0, Math.min(kept.length, length));
  const of = { firstLine: line, sourceLines: 1, crlf: false, blank, bytes };
  if (blank) return { ...of, lines: 0, cut: [], pieces: [] };
  return { ...of, lines: 1, cut: [{ line, length }], pieces: [kept, Buffer.of(LF)] };
}

/** Nothing but spaces, tabs and carriage returns. */
function isBlank(buffer: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = buffer[i];
    if (byte !== 32 && byte !== 9 && byte !== CR) return false;
  }
  return true;
}
