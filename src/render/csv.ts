import { stringify } from 'csv-stringify/sync';
import type { Cell, Column, Report } from './report.ts';
import { printable } from './text.ts';

/**
 * RFC 4180 with a header line of column keys. Cells that a spreadsheet would run as a formula are defused; a column of
 * numbers has none, and its negative ones stay numbers.
 */
export function renderCsv(report: Report): string {
  const keys = report.columns.map(({ key }) => inert(printable(key)));
  const rows = report.rows.map((row) =>
    report.columns.map((column) => plain(row[column.key] ?? null, column)),
  );
  return stringify([keys, ...rows], { record_delimiter: 'unix' });
}

function plain(value: Cell, { kind }: Column): string {
  if (value === null) return '';
  const text = printable(String(value));
  return kind === 'text' || !NUMBER.test(text) ? inert(text) : text;
}

const NUMBER = /^-?\d+(\.\d+)?$/;
/** How a formula begins, in full width too. */
const FORMULA = /^[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/;

function inert(text: string): string {
  return FORMULA.test(text) ? `'${text}` : text;
}
