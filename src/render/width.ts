import stringWidth from 'string-width';

/** Text in exactly so many columns of a terminal: cut with a mark, or filled up with spaces. */
export function column(text: string, width: number, mark: string, align: 'left' | 'right' = 'left'): string {
  let shown = text;
  let used = stringWidth(shown);
  if (used > width) {
    shown = '';
    used = 0;
    for (const { segment } of new Intl.Segmenter().segment(text)) {
      const next = stringWidth(segment);
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
  if (stringWidth(line) <= width) return [line];
  const lines: string[] = [];
  let current = '';
  for (const [, space = '', word = ''] of line.matchAll(/(\s*)(\S+)/g)) {
    const longer = current + space + word;
    if (current.trim() === '' || stringWidth(longer) <= width) {
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
    const pieces = [''];
    let used = 0;
    for (const { segment } of new Intl.Segmenter().segment(part)) {
      const next = stringWidth(segment);
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
