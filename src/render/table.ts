import { Chalk, type ChalkInstance } from 'chalk';
import Table, { type TableConstructorOptions } from 'cli-table3';
import stringWidth from 'string-width';
import { drawCharts } from './charts.ts';
import { glyphs } from './glyphs.ts';
import type { Cell, Column, Report } from './report.ts';
import { formatBytes, formatCount, printable } from './text.ts';
import { wrapped } from './width.ts';

/** No cell of a table is squeezed below this many characters. */
const NARROWEST = 8;

/** The table for people, or its charts: numbers right-aligned, no wider than the terminal, coloured where asked for. */
export function renderTable(
  report: Report,
  { width, color, unicode, terminal }: { width: number; color: boolean; unicode: boolean; terminal: boolean },
): string {
  const chalk = new Chalk({ level: color ? 1 : 0 });
  const columns = report.tableColumns ?? report.columns;
  const lines: string[] = [];
  if (report.title) lines.push(chalk.bold(printable(report.title)), '');
  if (report.charts) {
    lines.push(...drawCharts(report.charts, { width, color, unicode }));
  } else if (report.rows.length > 0) {
    const cells = report.rows.map((row) => columns.map((column) => cell(row[column.key] ?? null, column)));
    lines.push(
      ...(report.records && columns.length > 1 && totalOf(naturalWidths(columns, cells)) > width
        ? recordLines(columns, cells, chalk)
        : tableLines(report, columns, cells, { width, unicode, chalk })),
    );
  }
  if (report.notes && report.notes.length > 0) {
    if (report.charts ? report.charts.length > 0 : report.rows.length > 0) lines.push('');
    const notes = report.notes.map(printable);
    lines.push(...(terminal ? notes.flatMap((note) => wrapped(note, width)) : notes));
  }
  return `${lines.join('\n')}\n`;
}

function tableLines(
  { wrap, records }: Report,
  columns: readonly Column[],
  cells: string[][],
  { width, unicode, chalk }: { width: number; unicode: boolean; chalk: ChalkInstance },
): string[] {
  const lines: string[] = [];
  const shape = {
    colAligns: columns.map((column) => (column.kind === 'text' ? 'left' : 'right')),
    colWidths: columnWidths(columns, cells, width),
    wordWrap: (wrap || records) ?? false,
    wrapOnWordBoundary: true,
    chars: { ...NO_BORDERS },
    truncate: glyphs(unicode).cut,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
  } satisfies TableConstructorOptions;
  const head = columns.map((column) => chalk.cyan(column.title));
  for (let i = 0; i < cells.length; i += AT_ONCE) {
    const table = new Table({ ...shape, head: i === 0 ? head : [] });
    table.push(...cells.slice(i, i + AT_ONCE));
    for (const line of table.toString().split('\n')) {
      // A character of two code units may have been cut in two.
      lines.push(line.replace(/\p{Cs}/gu, ' ').trimEnd());
    }
  }
  return lines;
}

/** Each row under a heading, one field a line. */
function recordLines(columns: readonly Column[], cells: string[][], chalk: ChalkInstance): string[] {
  const names = columns.map(({ title }) => printable(title));
  const widest = names.reduce((most, name) => Math.max(most, stringWidth(name)), 0);
  return cells.flatMap((row, i) => [
    ...(i === 0 ? [] : ['']),
    chalk.bold(`Row ${formatCount(i + 1)}`),
    ...row.map((value, at) => {
      const name = names[at] ?? '';
      return `${chalk.cyan(name)}${' '.repeat(widest - stringWidth(name))}  ${value}`.trimEnd();
    }),
  ]);
}

/** Rows that are laid out together: more take longer each, and are in the end more than a call takes arguments. */
const AT_ONCE = 5_000;

const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
};

function cell(value: Cell, { kind }: Column): string {
  if (value === null) return '-';
  if (typeof value === 'bigint' || typeof value === 'number') {
    if (kind === 'bytes') return formatBytes(value);
    if (kind === 'count') return formatCount(value);
    return String(value);
  }
  if (typeof value === 'boolean') return value ? 'yes' : '-';
  return printable(String(value));
}

/** Natural widths, and where they do not fit, the widest text columns give way first. */
function columnWidths(columns: readonly Column[], cells: string[][], width: number): number[] {
  const widths = naturalWidths(columns, cells);
  while (totalOf(widths) > width) {
    let widest = -1;
    columns.forEach((column, i) => {
      if (
        column.kind === 'text' &&
        !column.whole &&
        (widths[i] ?? 0) > Math.max(NARROWEST, widths[widest] ?? 0)
      )
        widest = i;
    });
    if (widest < 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

function naturalWidths(columns: readonly Column[], cells: string[][]): number[] {
  return columns.map((column, i) => {
    const title = stringWidth(column.title);
    return cells.reduce((widest, row) => Math.max(widest, stringWidth(row[i] ?? '')), title) + 2;
  });
}

function totalOf(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width, 0) - 2;
}
