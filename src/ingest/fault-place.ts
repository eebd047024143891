import { type Node, parseTree } from 'jsonc-parser';
import { readJson } from '../strict-json.ts';
import { ERROR_CODES, type ErrorCode } from './contract.ts';

/** What stands before the byte at which a line is no JSON is shown too, in characters: it says which value it is. */
const BEFORE = 16;

/**
 * A rejected line as sent, from where it is wrong: lines of one source begin alike. From the field that breaks the rule,
 * of a repeated key from where it comes again, of what is no JSON from just before that byte. Where a field is missing,
 * from its timestamp, since that differs. A line that fits, or has no such place, is shown from its start.
 * @param error the code that it was rejected with
 * @param length characters at most; what is left out before is an ellipsis of one
 */
export function fromFault(line: Buffer, error: string, length: number): string {
  const text = line.toString();
  const at = text.length <= length ? 0 : faultAt(line, text, error);
  return at <= 1 ? text : `…${text.slice(at)}`;
}

/** Where in its text a line is wrong; 0 where that is not known. */
function faultAt(line: Buffer, text: string, error: string): number {
  if (!isCode(error) || error === 'line_too_long' || error === 'not_an_object') return 0;
  if (error === 'invalid_json') {
    const read = readJson(line);
    return read.valid ? 0 : Math.max(0, line.subarray(0, read.byte - 1).toString().length - BEFORE);
  }
  const members = parseTree(text)?.children ?? [];
  const found = error === 'duplicate_key' ? again(members) : first(members, fieldsOf(error));
  return found?.offset ?? 0;
}

/** The fields that a rule is about, the likelier first. */
function fieldsOf(error: ErrorCode): readonly string[] {
  if (error.startsWith('missing_') || error.startsWith('timestamp_')) return ['timestamp'];
  const field = error.replace('invalid_', '');
  return field === 'event_type' ? [field, 'type'] : [field];
}

function first(members: readonly Node[], fields: readonly string[]): Node | undefined {
  return fields.flatMap((field) => members.find((member) => keyOf(member) === field) ?? [])[0];
}

/** The first member whose key was there before. */
function again(members: readonly Node[]): Node | undefined {
  const keys = new Set<string>();
  return members.find((member) => {
    const key = keyOf(member);
    if (keys.has(key)) return true;
    keys.add(key);
    return false;
  });
}

function keyOf(member: Node): string {
  return String(member.children?.[0]?.value);
}

function isCode(error: string): error is ErrorCode {
  return (ERROR_CODES as readonly string[]).includes(error);
}
