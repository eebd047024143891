import { stringify } from 'csv-stringify/sync';
import type { Report } from './report.ts';
import { printable } from './text.ts';

/** RFC 4180 with a header line of column keys. Cells that a spreadsheet would run as a formula are defused. */
export function renderCsv(report: Report): string {
  const keys = report.columns.map((column) => column.key);
  const rows = report.rows.map((row) => keys.map((key) => plain(row[key] ?? null)));
  return stringify([keys.map(printable), ...rows], { escape_formulas: true, record_delimiter: 'unix' });
}

function plain(value: unknown): string {
  return value === null ? '' : printable(String(value));
}
