import { Chalk, type ChalkInstance } from 'chalk';
import { drawCharts } from './charts.ts';
import { glyphs } from './glyphs.ts';
import { recordLines } from './records.ts';
import type { Cell, Column, Report } from './report.ts';
import { formatBytes, formatCount, printable } from './text.ts';
import { column, folded, textWidth, wrapped } from './width.ts';

/** No column is squeezed below this, with the space after it, where its cells are broken over lines. */
const NARROWEST = 8;
/** The same where they are cut: the first 16 characters tell most names apart. */
const NARROWEST_CUT = 18;

/** How wide columns are, the space after them among it, and whether every cell fits in its own. */
interface Layout {
  widths: number[];
  fits: boolean;
}

/** Rows, and how they are laid out. */
type Rows = Pick<Report, 'rows' | 'wrap' | 'records'>;

/**
 * The table for people, or its charts: numbers right-aligned, no wider than the terminal, coloured where asked for; of
 * nothing, nothing. Where there is no terminal, nothing is cut.
 */
export function renderTable(
  report: Report,
  { width, color, unicode, terminal }: { width: number; color: boolean; unicode: boolean; terminal: boolean },
): string {
  const chalk = new Chalk({ level: color ? 1 : 0 });
  const columns = (report.tableColumns ?? report.columns).map((column) => ({
    ...column,
    title: printable(column.title),
  }));
  const lines: string[] = [];
  const broken = (text: string) => (terminal ? wrapped(printable(text), width) : [printable(text)]);
  if (report.title) lines.push(...broken(report.title).map((line) => chalk.bold(line)), '');
  if (report.charts) {
    lines.push(...drawCharts(report.charts, { width, color, unicode }));
  } else if (report.sections) {
    for (const [i, section] of report.sections.entries()) {
      lines.push(...(i === 0 ? [] : ['']), ...broken(section.title).map((line) => chalk.bold(line)));
      lines.push(...rowLines(section, section.columns, { width, unicode, terminal, chalk }));
    }
  } else if (report.rows.length > 0) {
    lines.push(...rowLines(report, columns, { width, unicode, terminal, chalk }));
  }
  if (report.notes && report.notes.length > 0) {
    if (report.charts ? report.charts.length > 0 : report.rows.length > 0) lines.push('');
    lines.push(...report.notes.flatMap(broken));
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** Rows as a table, or where that does not fit, as records. */
function rowLines(
  report: Rows,
  columns: readonly Column[],
  {
    width,
    unicode,
    terminal,
    chalk,
  }: { width: number; unicode: boolean; terminal: boolean; chalk: ChalkInstance },
): string[] {
  const cells = report.rows.map((row) =>
    columns.map((column) => cell(column.shown?.(row) ?? row[column.key] ?? null, column)),
  );
  const layout = columnWidths(report, columns, cells, { width, terminal });
  return layout
    ? tableLines(report, columns, cells, { ...layout, unicode, chalk })
    : recordLines(report, columns, cells, { width, terminal, cut: glyphs(unicode).cut, chalk });
}

function tableLines(
  { wrap, records }: Rows,
  columns: readonly Column[],
  cells: string[][],
  { widths, fits, unicode, chalk }: Layout & { unicode: boolean; chalk: ChalkInstance },
): string[] {
  const { cut } = glyphs(unicode);
  const roomIn = (i: number) => (widths[i] ?? 0) - GAP.length;
  const folding = (text: string, i: number) => folded(text, roomIn(i));
  const cutting = (text: string, i: number) =>
    textWidth(text) <= roomIn(i) ? [text] : [column(text, roomIn(i), cut)];
  const padded = (line: readonly string[]) =>
    line.map((text, i) => column(text, roomIn(i), cut, columns[i]?.kind === 'text' ? 'left' : 'right'));
  const joined = (line: readonly string[]) => wellFormed(line.join(GAP)).trimEnd();
  const titles = lineByLine([columns.map(({ title }) => title)], folding);
  const rows = fits ? cells : lineByLine(cells, wrap || records ? folding : cutting);
  return [
    ...titles.map((line) => joined(padded(line).map((text) => chalk.cyan(text)))),
    ...rows.map((line) => joined(padded(line))),
  ];
}

/** Rows as lines of cells that fit. */
function lineByLine(rows: readonly string[][], inLines: (text: string, i: number) => string[]): string[][] {
  return rows.flatMap((row) => {
    const parts = row.map(inLines);
    if (parts.every((part) => part.length === 1)) return [parts.map(([part = '']) => part)];
    const height = Math.max(...parts.map((part) => part.length));
    return Array.from({ length: height }, (_, line) => parts.map((part) => part[line] ?? ''));
  });
}

/** Between columns. */
const GAP = '  ';
/** A character of two code units that was cut in two. */
const LONE_SURROGATE = /\p{Cs}/gu;

function wellFormed(line: string): string {
  // Most lines are: that they may not be is seen in a tenth of the time.
  return line.isWellFormed() ? line : line.replace(LONE_SURROGATE, ' ');
}

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

/**
 * Natural widths, and where they do not fit, the widest text columns give way first, then titles of several words.
 * What is no terminal has no edge: nothing is cut there, and no word broken.
 * @returns undefined where there is no room for a table
 */
function columnWidths(
  { records = false, wrap = false }: Rows,
  columns: readonly Column[],
  cells: string[][],
  { width, terminal }: { width: number; terminal: boolean },
): Layout | undefined {
  const natural = naturalWidths(columns, cells, ({ title }) => textWidth(title));
  if (totalOf(natural) <= width) return { widths: natural, fits: true };
  if (records && columns.length > 1) return undefined;
  if (!terminal && !wrap && !records) return { widths: natural, fits: true };
  const narrowest = wrap || records ? NARROWEST : NARROWEST_CUT;
  const floors = columns.map((_, i) =>
    terminal || records
      ? narrowest
      : cells.reduce((most, row) => Math.max(most, longestWord(row[i] ?? '') + 2), narrowest),
  );
  const squeezed = squeeze(columns, natural, { width, floors });
  if (totalOf(squeezed) <= width) return { widths: squeezed, fits: false };
  const narrow = naturalWidths(columns, cells, ({ title, kind, whole = false }) =>
    kind === 'text' && !whole ? textWidth(title) : longestWord(title),
  );
  const last = squeeze(columns, narrow, { width, floors });
  return totalOf(last) <= width || !terminal ? { widths: last, fits: false } : undefined;
}

/** @param room.floors what each column is not squeezed below */
function squeeze(
  columns: readonly Column[],
  natural: readonly number[],
  { width, floors }: { width: number; floors: readonly number[] },
): number[] {
  const widths = [...natural];
  while (totalOf(widths) > width) {
    let widest = -1;
    columns.forEach((column, i) => {
      if (column.kind !== 'text' || column.whole || (widths[i] ?? 0) <= (floors[i] ?? 0)) return;
      if ((widths[i] ?? 0) > (widths[widest] ?? 0)) widest = i;
    });
    if (widest < 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

function naturalWidths(
  columns: readonly Column[],
  cells: string[][],
  titleWidth: (column: Column) => number,
): number[] {
  return columns.map((column, i) => {
    const title = titleWidth(column);
    return cells.reduce((widest, row) => Math.max(widest, textWidth(row[i] ?? '')), title) + 2;
  });
}

function longestWord(text: string): number {
  return text.split(' ').reduce((most, word) => Math.max(most, textWidth(word)), 0);
}

function totalOf(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width, 0) - 2;
}
