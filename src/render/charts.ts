import { Chalk } from 'chalk';
import { type Drawing, drawBars, drawGauges } from './bars.ts';
import { columnsTitle, drawColumns } from './columns.ts';
import { glyphs } from './glyphs.ts';
import type { Chart } from './report.ts';
import { printable } from './text.ts';
import { column, textWidth } from './width.ts';

/** Columns that charts are drawn in at most: wider ones are not read more easily. */
const WIDEST = 120;

/** Charts as lines of text, each with its title over it. */
export function drawCharts(
  charts: readonly Chart[],
  { width, color, unicode }: { width: number; color: boolean; unicode: boolean },
): string[] {
  const chalk = new Chalk({ level: color ? 1 : 0 });
  const drawing = { width: Math.min(width, WIDEST), glyphs: glyphs(unicode), chalk };
  return charts.flatMap((chart, i) => {
    const { title, lines } = draw(chart, drawing);
    return [...(i > 0 ? [''] : []), chalk.cyan(shortened(printable(title), drawing)), ...lines];
  });
}

function draw(chart: Chart, drawing: Drawing): { title: string; lines: string[] } {
  if (chart.kind === 'bars') return { title: chart.title, lines: drawBars(chart, drawing) };
  if (chart.kind === 'gauges') return { title: chart.title, lines: drawGauges(chart, drawing) };
  return { title: columnsTitle(chart, drawing), lines: drawColumns(chart, drawing) };
}

function shortened(title: string, { width, glyphs: { cut } }: Drawing): string {
  return textWidth(title) > width ? column(title, width, cut) : title;
}
