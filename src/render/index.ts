import type { Config } from '../config.ts';
import { renderCsv } from './csv.ts';
import type { Format } from './format.ts';
import { renderJson, renderNdjson } from './json.ts';
import { renderMarkdown } from './markdown.ts';
import type { Report } from './report.ts';
import { renderTable } from './table.ts';

type Renderer = (report: Report, options: { width: number; color: boolean }) => string;

/** One renderer a format; a new format is a file here, a line here, and a name in format.ts. */
const RENDERERS: Record<Format, Renderer> = {
  table: renderTable,
  json: (report) => renderJson(report.data),
  ndjson: (report) => renderNdjson(report.rows),
  csv: renderCsv,
  markdown: renderMarkdown,
};

/** A report as text in the format of this run, with the final newline. width: columns of the terminal. */
export function render(report: Report, config: Pick<Config, 'format' | 'color'>, width: number): string {
  return RENDERERS[config.format](report, { width, color: config.color });
}
