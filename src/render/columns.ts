import type { Drawing } from './bars.ts';
import type { Columns, Measure } from './report.ts';
import { printable, shortBytes, shortCount } from './text.ts';
import { column, textWidth } from './width.ts';

/** Lines between two figures of the scale, and how many of them there are. */
const ROWS_A_TICK = 2;
const TICKS = 4;
const HEIGHT = ROWS_A_TICK * TICKS;
/** No column is wider, however much room there is. */
const WIDEST = 6;
/** How many steps may share a column, so that hours make whole days and days whole weeks. */
const SHARED: Record<Columns['step'], readonly number[]> = {
  hour: [1, 2, 3, 4, 6, 12, 24, 48, 72, 168, 336, 672],
  day: [1, 2, 7, 14, 28, 56, 112, 364],
  month: [1, 3, 6, 12],
};
/** How many columns apart labels stand. */
const STRIDES = [1, 2, 3, 4, 6, 12, 24, 48, 72];
/** Columns of a terminal for the words at a level. */
const LONGEST_LABEL = 22;

/** The steps in words: `by hour (UTC)`, or by how many of them a column stands for. */
export function columnsTitle(chart: Columns, drawing: Drawing): string {
  const { steps } = layout(chart, drawing);
  const expected = chart.columns.some(({ projected }) => projected);
  const legend = expected ? `; ${drawing.glyphs.projected} is projected` : '';
  return `${chart.title} by ${steps === 1 ? chart.step : `${steps} ${chart.step}s`} (UTC)${legend}`;
}

/** Columns over time on a scale, with the levels that they are held against. */
export function drawColumns(chart: Columns, drawing: Drawing): string[] {
  const { glyphs, chalk } = drawing;
  const { columns, steps, scale, rules, left, cell } = layout(chart, drawing);
  const heights = columns.map(({ value }) => Number(value) / scale);
  const lines = Array.from({ length: HEIGHT }, (_, below) => {
    const row = HEIGHT - 1 - below;
    const rule = rules.get(row);
    const across = rule && (rule.limit ? glyphs.limit : glyphs.threshold);
    const plot = columns.flatMap(({ projected }, i): Piece[] => {
      const part = filledRow((heights[i] ?? 0) * HEIGHT, row, glyphs.upward);
      const gap = { text: (across ?? ' ').repeat(cell > 1 ? 1 : 0), paint: chalk.yellow };
      const wide = cell - gap.text.length;
      if (part === ' ') return [{ ...gap, text: (across ?? ' ').repeat(wide) }, gap];
      if (projected) return [{ text: glyphs.projected.repeat(wide), paint: chalk.dim }, gap];
      return [{ text: part.repeat(wide), paint: chalk.cyan }, gap];
    });
    const ticked = (row + 1) % ROWS_A_TICK === 0;
    const figure = ticked ? writtenShort((scale * (row + 1)) / HEIGHT, scale, chart.measure) : '';
    const words = rule ? ` ${chalk.yellow(rule.label)}` : '';
    return `${figure.padStart(left)} ${ticked ? glyphs.tick : glyphs.axis}${painted(plot)}${words}`.trimEnd();
  });
  const floor = `${'0'.padStart(left)} ${glyphs.corner}${glyphs.floor.repeat(columns.length * cell)}`;
  return [...lines, floor, `${' '.repeat(left + 2)}${axisLabels(columns, { cell, steps })}`.trimEnd()];
}

/** A piece of a line, and how it is painted. */
interface Piece {
  text: string;
  paint: (text: string) => string;
}

/** A line of its pieces: neighbours of one paint are painted as one, blanks not at all. */
function painted(pieces: readonly Piece[]): string {
  let line = '';
  let run: Piece | undefined;
  const flush = () => {
    if (run) line += run.text.trim() === '' ? run.text : run.paint(run.text);
  };
  for (const { text, paint } of pieces) {
    const blank = text.trim() === '';
    if (run && (run.text.trim() === '') === blank && (blank || run.paint === paint)) {
      run.text += text;
      continue;
    }
    flush();
    run = { text, paint };
  }
  flush();
  return line;
}

/** A row of a column of some height: what is more than nothing shows in the lowest one. */
function filledRow(height: number, row: number, levels: readonly string[]): string {
  const steps = Math.max(Math.round(height * levels.length), height > 0 ? 1 : 0) - row * levels.length;
  return steps <= 0 ? ' ' : (levels[Math.min(steps, levels.length) - 1] ?? ' ');
}

/** What there is room for: how wide a column is, and how many steps it stands for. */
function layout(chart: Columns, { width, glyphs }: Drawing) {
  const levels = (chart.rules ?? []).map(({ level }) => Number(level));
  for (const steps of SHARED[chart.step]) {
    const columns = shared(chart, steps);
    // Hours of many years are more than a call takes arguments.
    const largest = columns.reduce((most, { value }) => Math.max(most, Number(value)), 1);
    const scale = niceTop(Math.max(largest, ...levels), chart.measure);
    const rules = ruleRows(chart, scale, glyphs.cut);
    const figures = Array.from({ length: TICKS + 1 }, (_, i) =>
      textWidth(writtenShort((scale * i) / TICKS, scale, chart.measure)),
    );
    const left = Math.max(...figures);
    const words = [...rules.values()].map(({ label }) => textWidth(label) + 1);
    const room = width - left - 2 - Math.max(0, ...words);
    if (columns.length > room && steps !== SHARED[chart.step].at(-1)) continue;
    // More than there is room for in any case: the last of them are the ones that matter.
    const kept = columns.slice(-Math.max(1, room));
    const cell = Math.max(1, Math.min(WIDEST, Math.floor(room / kept.length)));
    return { steps, columns: kept, scale, rules, left, cell };
  }
  throw new Error(`no number of ${chart.step}s shares a column`);
}

/** The lines that the levels are drawn on; levels that are close together share one. */
function ruleRows({ rules = [] }: Columns, scale: number, cut: string) {
  const rows = new Map<number, { label: string; limit: boolean }>();
  for (const { label, level, limit } of rules) {
    const row = Math.min(HEIGHT - 1, Math.max(0, Math.ceil((Number(level) / scale) * HEIGHT) - 1));
    const there = rows.get(row);
    const words = there ? `${there.label}, ${printable(label)}` : printable(label);
    const shown = textWidth(words) > LONGEST_LABEL ? column(words, LONGEST_LABEL, cut) : words;
    rows.set(row, { label: shown, limit: limit || (there?.limit ?? false) });
  }
  return rows;
}

/** The steps, so many of them in a column. */
function shared({ columns, merged }: Columns, steps: number): Columns['columns'][number][] {
  if (steps === 1) return [...columns];
  const groups = new Map<number, Columns['columns'][number]>();
  for (const one of columns) {
    const ordinal = Math.floor(one.ordinal / steps) * steps;
    const before = groups.get(ordinal);
    const value = before && merged === 'sum' ? before.value + one.value : one.value;
    groups.set(ordinal, { ...one, ordinal, label: before?.label ?? one.label, value });
  }
  return [...groups.values()];
}

/** Labels below the columns, as many as fit, at round steps. */
function axisLabels(
  columns: readonly { ordinal: number; label: string }[],
  { cell, steps }: { cell: number; steps: number },
): string {
  const needed = Math.max(0, ...columns.map(({ label }) => label.length)) + 1;
  const stride = STRIDES.map((many) => many * steps).find((many) => (many / steps) * cell >= needed);
  const round = columns.some(({ ordinal }) => stride !== undefined && ordinal % stride === 0);
  let line = '';
  columns.forEach(({ ordinal, label }, i) => {
    if (round && stride !== undefined ? ordinal % stride !== 0 : i > 0) return;
    if (line.length > i * cell || i * cell + label.length > Math.max(columns.length * cell, needed)) return;
    line = line.padEnd(i * cell) + label;
  });
  return line;
}

const NICE = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];

/** A scale that ends a little above a value, at figures that are easily read. */
function niceTop(value: number, measure: Measure): number {
  let unit = 1;
  if (measure === 'bytes') while (value >= unit * 1024) unit *= 1024;
  const wanted = value / TICKS / unit;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const steps = NICE.map((step) => step * power);
  // Figures have one decimal; and there is no half of an event, nor of a byte.
  const shown = (step: number) =>
    Number(step.toFixed(unit === 1 && wanted < 100 ? 0 : 1)) === Number(step.toFixed(6));
  const step = steps.find((one) => one >= wanted && (one >= 10 || shown(one))) ?? 10 * power;
  return Math.max(step, unit === 1 ? 1 : 0) * unit * TICKS;
}

function writtenShort(value: number, largest: number, measure: Measure): string {
  return measure === 'bytes' ? shortBytes(value, largest) : shortCount(value);
}
