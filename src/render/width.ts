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
  if (width < 20 || stringWidth(line) <= width) return [line];
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
