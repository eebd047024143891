import { createRequire } from 'node:module';
import { stripVTControlCharacters } from 'node:util';

/** Characters of one column each; quotation marks, dashes and the ellipsis are among them. */
const NARROW = /^[\x20-\x7e\xa0-\xac\xae-\xff\u2010-\u2027]*$/;
let widthOf: ((text: string) => number) | undefined;

/** How many columns of a terminal a text takes, colours apart. */
export function textWidth(text: string): number {
  // Without a control character there is nothing to strip.
  if (NARROW.test(text)) return text.length;
  const bare = stripVTControlCharacters(text);
  if (NARROW.test(bare)) return bare.length;
  // Loaded when it is used: it takes 40 ms, for all the pictures there are, and most text has none.
  widthOf ??= (createRequire(import.meta.url)('string-width') as typeof import('string-width')).default;
  return widthOf(bare);
}

/** Text in exactly so many columns of a terminal: cut with a mark, or filled up with spaces. */
export function column(text: string, width: number, mark: string, align: 'left' | 'right' = 'left'): string {
  let shown = text;
  let used = textWidth(shown);
  if (used > width) {
    shown = '';
    used = 0;
    for (const { segment } of new Intl.Segmenter().segment(text)) {
      const next = textWidth(segment);
      if (used + next > width - 1) break;
      shown += segment;
      used += next;
    }
    shown += mark;
    used += 1;
  }
  const rest = ' '.repeat(Math.max(0, width - used));
  return align === 'left' ? shown + rest : rest + shown;
}

/** A line as lines of a terminal, broken between words; a word that is longer stays whole. */
export function wrapped(line: string, width: number): string[] {
  return width < 20 ? [line] : betweenWords(line, width);
}

function betweenWords(line: string, width: number): string[] {
  if (textWidth(line) <= width) return [line];
  const lines: string[] = [];
  let current = '';
  for (const [, space = '', word = ''] of line.matchAll(/(\s*)(\S+)/g)) {
    const longer = current + space + word;
    if (current.trim() === '' || textWidth(longer) <= width) {
      current = longer;
    } else {
      lines.push(current);
      current = word;
    }
  }
  return [...lines, current];
}

/** A line as lines of at most so many columns: broken between words, and where a word is longer, inside it. */
export function folded(line: string, width: number): string[] {
  return betweenWords(line, width).flatMap((part) => {
    // What the engine of the language needs to tell characters apart takes 11 ms to load.
    if (textWidth(part) <= width) return [part];
    const pieces = [''];
    let used = 0;
    for (const { segment } of new Intl.Segmenter().segment(part)) {
      const next = textWidth(segment);
      if (used + next > width && used > 0) {
        pieces.push('');
        used = 0;
      }
      pieces[pieces.length - 1] += segment;
      used += next;
    }
    return pieces;
  });
}
