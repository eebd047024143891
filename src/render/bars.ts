import type { ChalkInstance } from 'chalk';
import type { Glyphs } from './glyphs.ts';
import type { Bars, Gauges, Measure } from './report.ts';
import { formatBytes, formatCount, printable } from './text.ts';
import { column, textWidth } from './width.ts';

/** How a chart is drawn; width: columns there are. */
export interface Drawing {
  width: number;
  glyphs: Glyphs;
  chalk: ChalkInstance;
}

const GAP = 2;
/** No bar is drawn in less, and no name is cut to less. */
const SHORTEST = 8;

/** Horizontal bars, with what each is worth and its share of the whole. */
export function drawBars({ bars, measure, total }: Bars, { width, glyphs, chalk }: Drawing): string[] {
  const names = bars.map(({ label }) => printable(label));
  const amounts = bars.map(({ value }) => written(value, measure));
  const shares = bars.map(({ value }) => `${percent(value, total).toFixed(1)} %`);
  const room = rooms(width, names, [amounts, shares]);
  const largest = Math.max(0, ...bars.map(({ value }) => Number(value)));
  return bars.map(({ value }, i) => {
    const part = largest === 0 ? 0 : Number(value) / largest;
    return [
      column(names[i] ?? '', room.name, glyphs.cut),
      chalk.cyan(filled(part, room.bar, glyphs.across)),
      ...room.figures.map((figure) => column(figure.texts[i] ?? '', figure.width, glyphs.cut, 'right')),
    ]
      .join(' '.repeat(GAP))
      .trimEnd();
  });
}

/** How full each limit is, on one scale, with its thresholds and the limit itself marked. */
export function drawGauges({ gauges }: Gauges, { width, glyphs, chalk }: Drawing): string[] {
  const names = gauges.map(({ label }) => printable(label));
  const percents = gauges.map((gauge) => `${gauge.percent} %`);
  const amounts = gauges.map(({ amount }) => amount);
  const room = rooms(width, names, [percents, amounts]);
  const top = Math.min(200, Math.max(100, ...gauges.flatMap((gauge) => [gauge.percent, ...gauge.marks])));
  const cellOf = (at: number) => Math.min(room.bar - 1, Math.max(0, Math.ceil((at / top) * room.bar) - 1));
  const paint = { fine: chalk.green, warned: chalk.yellow, full: chalk.red };
  return gauges.map(({ percent: used, marks, state }, i) => {
    const bar = [...filled(Math.min(1, used / top), room.bar, glyphs.across)].map((cell) =>
      cell === ' ' ? chalk.dim(glyphs.empty) : paint[state](cell),
    );
    for (const mark of marks) if (mark <= top) bar[cellOf(mark)] = chalk.bold(glyphs.thresholdUpright);
    bar[cellOf(100)] = chalk.bold(glyphs.limitUpright);
    return [
      column(names[i] ?? '', room.name, glyphs.cut),
      bar.join(''),
      ...room.figures.map((figure) => column(figure.texts[i] ?? '', figure.width, glyphs.cut, 'right')),
    ]
      .join(' '.repeat(GAP))
      .trimEnd();
  });
}

/** Columns for names, bars and figures: the last figures are left out where the bars would have no room. */
function rooms(width: number, names: readonly string[], texts: readonly (readonly string[])[]) {
  const widest = (of: readonly string[]) => Math.max(0, ...of.map((text) => textWidth(text)));
  const figures = texts.map((of) => ({ texts: of, width: widest(of) }));
  const wanted = widest(names);
  for (;;) {
    const taken = figures.reduce((sum, figure) => sum + figure.width + GAP, GAP);
    const name = Math.min(wanted, Math.max(SHORTEST, Math.floor((width - taken) / 2)));
    const bar = width - taken - name;
    if (bar >= SHORTEST || figures.length <= 1) return { name, bar: Math.max(1, bar), figures };
    figures.pop();
  }
}

/** A part of a number of cells; what is more than nothing always shows. */
function filled(part: number, cells: number, levels: readonly string[]): string {
  const steps = Math.round(part * cells * levels.length);
  const shown = part > 0 ? Math.max(1, steps) : 0;
  const whole = Math.floor(shown / levels.length);
  const rest = shown % levels.length;
  return `${(levels.at(-1) ?? '').repeat(whole)}${rest > 0 ? levels[rest - 1] : ''}`.padEnd(cells);
}

function written(value: bigint, measure: Measure): string {
  return measure === 'bytes' ? formatBytes(value) : formatCount(value);
}

function percent(part: bigint, whole: bigint): number {
  return whole === 0n ? 0 : (Number(part) / Number(whole)) * 100;
}
