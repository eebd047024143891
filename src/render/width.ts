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
