import { type Node, parseTree } from 'jsonc-parser';
import { stringify } from 'lossless-json';
import { readJson } from '../strict-json.ts';

/** Fields and what they are set to: anything that JSON can say, numbers that must stay as written as LosslessNumber. */
export type Changes = ReadonlyMap<string, unknown>;

const MARK = '\ufeff';

/**
 * Sets top-level fields of a line. Everything else stays as it was sent, to the byte: white space, the order of keys,
 * how numbers are written. A field that is repeated is there once afterwards, at its first place; one that was not
 * there is the last.
 * @returns undefined where the line is not a JSON object in UTF-8, which has no fields to set
 */
export function setFields(line: Buffer, changes: Changes): Buffer | undefined {
  if (changes.size === 0) return line;
  const json = readJson(line);
  if (!json.valid) return undefined;
  const sent = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line);
  const mark = sent.startsWith(MARK) ? MARK : '';
  let text = sent.slice(mark.length);
  for (const [field, value] of changes) {
    const edited = setField(text, field, stringify(value) ?? 'null');
    if (edited === undefined) return undefined;
    text = edited;
  }
  return Buffer.from(mark + text);
}

function setField(text: string, field: string, value: string): string | undefined {
  const object = parseTree(text);
  if (object?.type !== 'object') return undefined;
  const properties = object.children ?? [];
  const named = properties.filter(({ children }) => children?.[0]?.value === field);
  if (named.length === 0) {
    const end = object.offset + object.length - 1;
    const comma = properties.length > 0 ? ',' : '';
    return `${text.slice(0, end)}${comma}${JSON.stringify(field)}:${value}${text.slice(end)}`;
  }
  // From the last on, so that the places before stay what they are.
  return named.reduceRight((edited, property, i) => {
    if (i > 0) return withoutProperty(edited, properties, property);
    const old = property.children?.[1];
    if (!old) return edited;
    return edited.slice(0, old.offset) + value + edited.slice(old.offset + old.length);
  }, text);
}

/** Takes out a property that is not the first, with what is between it and the one before. */
function withoutProperty(text: string, properties: readonly Node[], property: Node): string {
  const before = properties[properties.indexOf(property) - 1];
  const from = before ? before.offset + before.length : property.offset;
  return text.slice(0, from) + text.slice(property.offset + property.length);
}
