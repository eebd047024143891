import { type Format, isPageFormat, type PageFormat } from './format.ts';
import type { Report } from './report.ts';

type Renderer = (report: Report, options: Omit<RenderOptions, 'format'>) => string;

/** One renderer a format, loaded when it is asked for; a new format is a file here, a line here, and a name in format.ts. */
const RENDERERS: Record<Exclude<Format, PageFormat>, () => Promise<Renderer>> = {
  table: async () => (await import('./table.ts')).renderTable,
  json: async () => (await import('./json.ts')).renderJson,
  ndjson: async () => (await import('./json.ts')).renderNdjson,
  csv: async () => (await import('./csv.ts')).renderCsv,
  'focus-csv': async () => (await import('./csv.ts')).renderCsv,
  markdown: async () => (await import('./markdown.ts')).renderMarkdown,
};

/** How a report is to be written; width: columns of the terminal. */
export interface RenderOptions {
  format: Format;
  color: boolean;
  /** Whether charts and marks may be more than ASCII. */
  unicode: boolean;
  width: number;
  /** Whether it is written to a terminal, where what is long is broken between words. */
  terminal: boolean;
}

/** A report as text in the format of this run, with the final newline. */
export async function render(report: Report, { format, ...options }: RenderOptions): Promise<string> {
  if (isPageFormat(format)) throw new Error(`a report is no page: ${format}`);
  const renderer = await RENDERERS[format]();
  return renderer(report, options);
}
