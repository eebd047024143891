import type { LineCounter, Node } from 'yaml';
import { usageError } from '../errors.ts';

/** What a document holds, every scalar as the text that stands there: no number was ever made of it. */
export type Text = string | readonly Text[] | { readonly [key: string]: Text };

/** A place in a document: keys and places in lists, from the top. */
export type Path = readonly PropertyKey[];

export interface ReadYaml {
  value: Text;
  /** The line of what stands at a path, or of the nearest thing above it; from 1. */
  lineOf(path: Path): number;
}

/** A plan is a page of text; what is longer is something else. */
const MAX_LENGTH = 256 * 1024;
const MAX_DEPTH = 16;

/** What a terminal may act on. The text is shown again, comments too. */
const CONTROL =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are looked for
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]|\r(?!\n)/;

const DEEP = 'lists and maps are nested too deep';
/** In the place of the parser's words, which are for programmers. */
const FAULTS: Record<string, string> = {
  DUPLICATE_KEY: 'this key is there twice',
  MULTIPLE_DOCS: 'a second document begins here: a file is one plan',
  RESOURCE_EXHAUSTION: DEEP,
};

/**
 * Reads one YAML document of maps, lists and plain or quoted texts.
 * @param name what the errors call it
 * @throws InfrasageError (exit 2) that names it and the line: no YAML, a key twice, an anchor, an alias, a tag, a
 *   block of lines, two documents
 */
export async function readYaml(text: string, name: string): Promise<ReadYaml> {
  if (text.length > MAX_LENGTH) {
    throw usageError(`${name} is too long for a price plan: over ${MAX_LENGTH / 1024} KiB`);
  }
  const { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } = await import('yaml');
  const counter = new LineCounter();
  const refuse = (offset: number | undefined, reason: string) =>
    usageError(`${name}:${lineAt(counter, offset)}: ${reason}`);
  let document: ReturnType<typeof parseDocument>;
  try {
    // The failsafe schema makes text of every scalar: 0.1 and 1e-7 arrive as they stand there.
    document = parseDocument(text, { schema: 'failsafe', lineCounter: counter, prettyErrors: false });
  } catch (error) {
    if (error instanceof RangeError) throw refuse(0, DEEP);
    throw error;
  }
  const control = text.search(CONTROL);
  if (control >= 0) throw refuse(control, 'there is a control character');
  const [fault] = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0]);
  if (fault) throw refuse(fault.pos[0], FAULTS[fault.code] ?? fault.message.split('\n')[0] ?? '');

  const lines = new Map<string, number>();
  const walk = (node: unknown, path: Path, above: number): Text => {
    const { range, anchor, tag } = (node ?? {}) as Node & { anchor?: string };
    const offset = range?.[0] ?? above;
    if (path.length > MAX_DEPTH) throw refuse(offset, DEEP);
    if (isAlias(node) || anchor !== undefined) {
      throw refuse(offset, 'anchors and aliases are not taken: write it out');
    }
    if (tag !== undefined && !PLAIN_TAGS.has(tag)) throw refuse(offset, 'tags are not taken');
    if (isSeq(node)) return node.items.map((item, i) => child(item, [...path, i], offset));
    if (isMap(node)) {
      const members = node.items.map(({ key, value }): [string, Text] => {
        if (!isScalar(key) || typeof key.value !== 'string') throw refuse(offset, 'a key must be a word');
        const at = key.range?.[0] ?? offset;
        if (key.anchor !== undefined) throw refuse(at, 'anchors and aliases are not taken: write it out');
        return [key.value, child(value, [...path, key.value], at, at)];
      });
      // Without a prototype: __proto__ is a key like others.
      return Object.assign(Object.create(null), Object.fromEntries(members)) as Text;
    }
    if (node === null) return '';
    if (!isScalar(node) || typeof node.value !== 'string') throw refuse(offset, 'must be a text');
    if (node.type?.startsWith('BLOCK')) throw refuse(offset, 'blocks of lines are not taken');
    return node.value;
  };
  const child = (node: unknown, path: Path, above: number, at?: number): Text => {
    const offset = at ?? (node as Node | null)?.range?.[0] ?? above;
    lines.set(JSON.stringify(path), lineAt(counter, offset));
    return walk(node, path, offset);
  };
  const value = walk(document.contents, [], 0);
  return {
    value,
    lineOf(path) {
      for (let length = path.length; length > 0; length -= 1) {
        const line = lines.get(JSON.stringify(path.slice(0, length)));
        if (line !== undefined) return line;
      }
      return lineAt(counter, document.contents?.range?.[0]);
    },
  };
}

const PLAIN_TAGS = new Set(['tag:yaml.org,2002:str', 'tag:yaml.org,2002:map', 'tag:yaml.org,2002:seq']);

function lineAt(counter: LineCounter, offset = 0): number {
  return Math.max(1, counter.linePos(offset).line);
}
