import { Chalk } from 'chalk';
import { drawGauges } from './bars.ts';
import { glyphs } from './glyphs.ts';
import type { Gauges } from './report.ts';
import { printable } from './text.ts';
import { column, textWidth } from './width.ts';

/** What fills a terminal: lines on top, blocks below them, a line at the bottom. Texts are never trusted. */
export interface Screen {
  /** Each in parts, of which the last are left out where there is no room. */
  head: readonly (readonly string[])[];
  /** The course of something, drawn at the end of the second line of the head. */
  course: readonly bigint[];
  /** Blocks side by side where the terminal is wide, else below each other. */
  rows: readonly (readonly Block[])[];
  /** The last line; empty for none. */
  foot: string;
  /** Said in the place of the foot: what is wrong just now. */
  warning?: string;
}

export type Block = Table | (Gauges & { more: number });

interface Table {
  kind: 'table';
  /** The first column's title. */
  title: string;
  /** Titles of the columns of figures. */
  figures: readonly string[];
  rows: readonly { name: string; figures: readonly string[] }[];
  /** Whether there may be more than these. */
  cut?: boolean;
  /** Said where there are no rows. */
  empty: string;
}

/** Columns that two blocks side by side need. */
const SIDE_BY_SIDE = 100;
const BETWEEN = 3;
/** Rows of a block where no terminal sets a limit. */
const MOST_PRINTED = 10;
/** Columns of a terminal that a screen uses at most. */
const WIDEST = 160;

/**
 * A screen as lines that fit into a terminal. Where there are not enough lines for all rows, each block has its share.
 * @param size.height undefined for what is printed once: ten rows a block
 */
export function drawScreen(
  screen: Screen,
  {
    width: given,
    height,
    color,
    unicode,
  }: { width: number; height?: number; color: boolean; unicode: boolean },
): string[] {
  const width = Math.min(given, WIDEST);
  const chalk = new Chalk({ level: color ? 1 : 0 });
  const drawing = { glyphs: glyphs(unicode), chalk };
  const wide = width >= SIDE_BY_SIDE;
  const bands = wide ? screen.rows : screen.rows.flatMap((row) => row.map((block) => [block]));
  const head = drawHead(screen, { ...drawing, width });
  const last = screen.warning
    ? chalk.yellow(cutTo(screen.warning, width, drawing.glyphs.cut))
    : cutTo(screen.foot, width, drawing.glyphs.cut);
  const fixed = head.length + (last === '' ? 0 : 1);
  const wanted = bands.map((band) => Math.max(...band.map(wantedRows)));
  const rows =
    height === undefined
      ? wanted.map((count) => Math.min(count, MOST_PRINTED))
      : shares(wanted, height - fixed);
  const lines = bands.flatMap((band, i) => {
    const most = rows[i] ?? 0;
    if (most < 1) return [];
    const each = Math.floor((width - BETWEEN * (band.length - 1)) / band.length);
    const drawn = band.map((block) => drawBlock(block, most, { ...drawing, width: each }));
    return ['', ...sideBySide(drawn, each)];
  });
  const body = [...head, ...lines];
  if (height === undefined) return last === '' ? body : [...body, '', last];
  const room = height - (last === '' ? 0 : 1);
  const filled = [
    ...body.slice(0, room),
    ...Array.from({ length: Math.max(0, room - body.length) }, () => ''),
  ];
  return last === '' ? filled : [...filled, last];
}

type Pen = Parameters<typeof drawGauges>[1];

function drawHead({ head, course }: Screen, { width, glyphs: marks, chalk }: Pen): string[] {
  return head.map((parts, i) => {
    const texts = parts.map(printable);
    const sparks = i === 1 ? sparkline(course, marks.upward) : '';
    const room = width - (sparks === '' ? 0 : course.length + 2);
    while (texts.length > 1 && textWidth(texts.join(marks.separator)) > room) texts.pop();
    const line = cutTo(texts.join(marks.separator), room, marks.cut);
    if (i === 0) return chalk.bold(line);
    return sparks.trim() === '' ? line : `${line}  ${chalk.cyan(sparks.trimEnd())}`;
  });
}

/** A character a value, as high as its part of the largest. */
function sparkline(values: readonly bigint[], levels: readonly string[]): string {
  const largest = Math.max(0, ...values.map(Number));
  return values
    .map((value) => {
      if (value === 0n) return ' ';
      return levels[Math.max(0, Math.ceil((Number(value) / largest) * levels.length) - 1)] ?? ' ';
    })
    .join('');
}

function wantedRows(block: Block): number {
  return Math.max(
    1,
    block.kind === 'table' ? block.rows.length : block.gauges.length + (block.more > 0 ? 1 : 0),
  );
}

/**
 * Lines for the rows of each band, which needs two more: a blank one and its title. Whoever wants less than an equal
 * share leaves the rest to the others; where there is no room for a row of each, the last have none.
 */
function shares(wanted: readonly number[], lines: number): number[] {
  let count = wanted.length;
  while (count > 0 && lines < count * 3) count -= 1;
  const given: number[] = wanted.map((_, i) => (i < count ? 1 : 0));
  let rest = lines - count * 3;
  while (rest > 0) {
    const needy = given.findIndex(
      (rows, i) =>
        i < count &&
        rows < (wanted[i] ?? 0) &&
        given.every((other, j) => j >= count || other >= (wanted[j] ?? 0) || rows <= other),
    );
    if (needy < 0) break;
    given[needy] = (given[needy] ?? 0) + 1;
    rest -= 1;
  }
  return given;
}

function drawBlock(block: Block, most: number, pen: Pen): string[] {
  if (block.kind === 'table') return drawTable(block, most, pen);
  const over = block.more > 0 || block.gauges.length > most;
  const gauges = block.gauges.slice(0, over && most > 1 ? most - 1 : most);
  const rest = block.gauges.length - gauges.length + block.more;
  return [
    pen.chalk.cyan(cutTo(printable(block.title), pen.width, pen.glyphs.cut)),
    ...(gauges.length === 0 ? ['none is set'] : drawGauges({ ...block, gauges }, pen)),
    ...(over && most > 1 ? [`${rest} more`] : []),
  ];
}

function drawTable(
  { title, figures, rows, cut = false, empty }: Table,
  most: number,
  { width, glyphs: marks, chalk }: Pen,
) {
  const shown = rows.slice(0, most);
  const heading = rows.length > most ? `${title} (${most} of ${rows.length}${cut ? '+' : ''})` : title;
  const widths = figures.map((name, i) =>
    Math.max(textWidth(name), ...shown.map((row) => textWidth(row.figures[i] ?? ''))),
  );
  // The last figures give way to the names.
  while (widths.length > 1 && width - widths.reduce((sum, w) => sum + w + 2, 0) < 12) widths.pop();
  const name = Math.max(1, width - widths.reduce((sum, w) => sum + w + 2, 0));
  const line = (first: string, rest: readonly string[]) =>
    [
      column(printable(first), name, marks.cut),
      ...widths.map((w, i) => column(rest[i] ?? '', w, marks.cut, 'right')),
    ].join('  ');
  return [
    chalk.cyan(line(heading, figures)),
    ...(shown.length === 0 ? [chalk.dim(cutTo(empty, width, marks.cut))] : []),
    ...shown.map((row) => line(row.name, row.figures)),
  ];
}

function sideBySide(blocks: readonly string[][], each: number): string[] {
  const height = Math.max(...blocks.map((block) => block.length));
  return Array.from({ length: height }, (_, i) =>
    blocks
      .map((block, at) => {
        const line = block[i] ?? '';
        return at === blocks.length - 1 ? line : line + ' '.repeat(Math.max(0, each - textWidth(line)));
      })
      .join(' '.repeat(BETWEEN))
      .trimEnd(),
  );
}

function cutTo(text: string, width: number, cut: string): string {
  const shown = printable(text);
  return textWidth(shown) > width ? column(shown, width, cut) : shown;
}
