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

/** How a report is to be written; width: columns of the terminal. */
export interface RenderOptions {
  format: Format;
  color: boolean;
  width: number;
}

/** A report as text in the format of this run, with the final newline. */
export function render(report: Report, { format, ...options }: RenderOptions): string {
  return RENDERERS[format](report, options);
}
