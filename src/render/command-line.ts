import { textWidth } from './width.ts';

/**
 * A command line as lines of at most so many columns that a shell takes as the one it was: broken between its words,
 * and inside quotes only where these are wider than a line. White space is added there: for statements and commands.
 */
export function continued(line: string, width: number): string[] {
  if (textWidth(line) <= width) return [line];
  const lines: string[] = [];
  let current = '';
  const append = (word: string) => {
    const longer = current === '' ? word : `${current} ${word}`;
    if (current === '' || textWidth(longer) <= width - MARK.length) {
      current = longer;
    } else {
      lines.push(current + MARK);
      current = `${INDENT}${word}`;
    }
  };
  for (const word of line.match(WORDS) ?? []) {
    const fits = textWidth(INDENT + word + MARK) <= width;
    for (const part of fits ? [word] : word.split(' ')) append(part);
  }
  return [...lines, current];
}

const MARK = ' \\';
const INDENT = '    ';
/** Words of a shell, with what is quoted in them. */
const WORDS = /(?:"[^"]*"|'[^']*'|[^\s"'])+/g;
