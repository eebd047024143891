import { parseTree, printParseErrorCode, visit } from 'jsonc-parser';

/** Levels of arrays and objects the engine's parser takes; those on the last level must be empty. */
export const MAX_DEPTH = 1024;

const MIN_INTEGER = -(2n ** 63n);
const MAX_INTEGER = 2n ** 64n - 1n;

/**
 * What a line holds. `members` are the members of a top-level object, each key
 * with its first value (no members for any other JSON), and `repeated` its keys
 * that occur more than once, in the order in which they do so again.
 */
export type JsonReading =
  | { valid: true; value: unknown; members: ReadonlyMap<string, unknown>; repeated: readonly string[] }
  | Invalid;

interface Invalid {
  valid: false;
  reason: string;
  /** The byte at which it is not, from 1. */
  byte: number;
  /** What stands there: a word, a string or a sign. */
  found: string;
}

/** Ends a visit at the first thing the engine does not take. */
class Refusal extends Error {
  readonly offset: number;

  constructor(reason: string, offset: number) {
    super(reason);
    this.offset = offset;
  }
}

/**
 * Reads a line as the engine's parser (simdjson) does: JSON by RFC 8259 in valid
 * UTF-8, one byte order mark before it allowed; no integer beyond 64 bits, no
 * number beyond a double, no half of a surrogate pair, no more than MAX_DEPTH
 * levels. Never throws: what is not valid is a value with its reason, a clause
 * to go after a colon.
 */
export function readJson(line: Uint8Array): JsonReading {
  let text: string;
  try {
    // Takes one byte order mark away, as the engine does.
    text = new TextDecoder('utf-8', { fatal: true }).decode(line);
  } catch {
    const at = firstNotUtf8(line);
    const found = `0x${(line[at] ?? 0).toString(16).padStart(2, '0')}`;
    return { valid: false, reason: 'it is not UTF-8', byte: at + 1, found };
  }

  const invalid = (reason: string, offset: number): Invalid => {
    const before = line.length - Buffer.byteLength(text) + Buffer.byteLength(text.slice(0, offset));
    return { valid: false, reason, byte: before + 1, found: standingAt(text, offset) };
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const error = tryVisit(text);
    if (error === undefined) return invalid('it cannot be parsed', 0);
    const reason = isAfterLastComma(text, error.offset) ? 'a comma before the bracket' : error.message;
    return invalid(`${reason} at character ${error.offset + 1}`, error.offset);
  }

  const repeated = new Set<string>();
  const refusal = tryVisit(text, repeated);
  if (refusal !== undefined) {
    return invalid(refusal.message, refusal.offset);
  }
  return { valid: true, value, members: membersOf(text, value, repeated.size > 0), repeated: [...repeated] };
}

/** The first refusal in the text, if any; collects the repeated top-level keys on the way. */
function tryVisit(text: string, repeated: Set<string> = new Set()): Refusal | undefined {
  const keys = new Set<string>();
  let depth = 0;
  const descend = (offset: number): void => {
    enter(depth, offset);
    depth += 1;
  };
  const ascend = (): void => {
    depth -= 1;
  };
  try {
    visit(
      text,
      {
        onObjectBegin: descend,
        onArrayBegin: descend,
        onObjectEnd: ascend,
        onArrayEnd: ascend,
        onObjectProperty(key, offset) {
          enter(depth, offset);
          checkString(key, offset);
          if (depth === 1) {
            (keys.has(key) ? repeated : keys).add(key);
          }
        },
        onLiteralValue(literal: unknown, offset, length) {
          enter(depth, offset);
          if (typeof literal === 'string') {
            checkString(literal, offset);
          } else if (typeof literal === 'number') {
            checkNumber(text.slice(offset, offset + length), offset);
          }
        },
        onError(code, offset) {
          throw new Refusal(words(printParseErrorCode(code)), offset);
        },
      },
      { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false },
    );
  } catch (error) {
    if (error instanceof Refusal) {
      return error;
    }
    throw error;
  }
  return undefined;
}

/** Refuses anything inside the last level; this also bounds the recursion of the visit. */
function enter(depth: number, offset: number): void {
  if (depth >= MAX_DEPTH) {
    throw new Refusal(`it is nested more than ${MAX_DEPTH} levels deep`, offset);
  }
}

function checkString(decoded: string, offset: number): void {
  if (/\p{Surrogate}/u.test(decoded)) {
    throw new Refusal('a string escapes half of a surrogate pair', offset);
  }
}

function checkNumber(token: string, offset: number): void {
  if (/^-?[0-9]+$/.test(token)) {
    // 20 digits reach past 64 bits; longer ones need no arithmetic.
    const integer = token.length > 20 ? undefined : BigInt(token);
    if (integer === undefined || integer < MIN_INTEGER || integer > MAX_INTEGER) {
      throw new Refusal('an integer does not fit in 64 bits', offset);
    }
  } else if (!Number.isFinite(Number(token))) {
    throw new Refusal('a number is too large for a double', offset);
  }
}

function membersOf(text: string, value: unknown, hasRepeated: boolean): ReadonlyMap<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return new Map();
  }
  if (!hasRepeated) {
    return new Map<string, unknown>(Object.entries(value));
  }
  // JSON.parse keeps the last value of a repeated key; the first one is in the text.
  const members = new Map<string, unknown>();
  for (const property of parseTree(text)?.children ?? []) {
    const [key, held] = property.children ?? [];
    if (key !== undefined && held !== undefined && !members.has(key.value)) {
      members.set(key.value, JSON.parse(text.slice(held.offset, held.offset + held.length)));
    }
  }
  return members;
}

/** 'ColonExpected' as 'colon expected'. */
function words(name: string): string {
  return name.replace(/(?<=[a-z])(?=[A-Z])/g, ' ').toLowerCase();
}

/** Whether what stands at an offset closes an object or array after a comma. */
function isAfterLastComma(text: string, offset: number): boolean {
  return /^[}\]]/.test(text.slice(offset, offset + 1)) && text.slice(0, offset).trimEnd().endsWith(',');
}

/** What stands at an offset, as far as 60 characters. */
function standingAt(text: string, offset: number): string {
  const rest = text.slice(offset, offset + 60);
  const [word = 'the end of the line'] = /^(?:[\w.+-]+|"(?:[^"\\]|\\.)*"?|.)/su.exec(rest) ?? [];
  return word;
}

/** The offset of the first byte that no UTF-8 text has there. */
function firstNotUtf8(line: Uint8Array): number {
  const again = Buffer.from(new TextDecoder('utf-8', { ignoreBOM: true }).decode(line));
  return line.findIndex((byte, i) => byte !== again[i]);
}
