import type { ChalkInstance } from 'chalk';
import type { Column, Report } from './report.ts';
import { formatCount } from './text.ts';
import { column, folded, textWidth } from './width.ts';

/** How wide what is printed may be; what is no terminal breaks no line. */
interface Room {
  width: number;
  terminal: boolean;
  /** Marks what is cut. */
  cut: string;
  chalk: ChalkInstance;
}

/** Each row under a heading, one field a line: for what a table has no room for. */
export function recordLines(
  { records = false, wrap = false }: Pick<Report, 'records' | 'wrap'>,
  columns: readonly Column[],
  cells: readonly string[][],
  { width, terminal, cut, chalk }: Room,
): string[] {
  const names = columns.map(({ title }) => title);
  const most = terminal ? Math.floor(width / 2) : Number.POSITIVE_INFINITY;
  const widest = Math.max(0, ...names.map((name) => textWidth(name)).filter((wide) => wide <= most));
  const room = Math.max(1, width - widest - 2);
  // Columns of what is asked in SQL that no row has anything in: named once.
  const empty = columns.map((_, at) => cells.every((row) => (row[at] ?? '') === ''));
  const shown = (value: string, { whole = false }: Column): string[] => {
    if (whole || textWidth(value) <= room || (records && !terminal)) return [value];
    return records || wrap ? folded(value, room) : [column(value, room, cut)];
  };
  const blank = names.filter((_, at) => records && empty[at]);
  const lines = cells.flatMap((row, i) => [
    ...(i === 0 ? [] : ['']),
    chalk.bold(`Row ${formatCount(i + 1)}`),
    ...columns.flatMap((one, at): string[] => {
      if (records && empty[at]) return [];
      const name = names[at] ?? '';
      const value = shown(row[at] ?? '', one);
      if (textWidth(name) > widest) {
        return [...folded(name, width).map((part) => chalk.cyan(part)), ...value.map((part) => `  ${part}`)];
      }
      // What is to be pasted stays whole, and has a line of its own where it is wider than what is left of one.
      const below = terminal && textWidth(value[0] ?? '') > room;
      const first = `${chalk.cyan(name)}${' '.repeat(widest - textWidth(name))}`;
      if (below) return [first.trimEnd(), ...value];
      return value.map((part, n) => `${n === 0 ? first : ' '.repeat(widest)}  ${part}`.trimEnd());
    }),
  ]);
  if (blank.length === 0) return lines;
  return [
    ...lines,
    '',
    ...folded(`Empty in every row: ${blank.join(', ')}`, terminal ? width : Number.POSITIVE_INFINITY),
  ];
}
