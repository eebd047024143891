import { quoted } from './literal.ts';
import type { TextRow } from './store.ts';

/** Rows as a table expression. Of many, each value as an expression of its own would take a third of a millisecond a row. */
export function rowsOf(rows: readonly TextRow[], columns: readonly string[], structure: string): string {
  const texts = rows.map((row) => columns.map((column) => String(row[column])));
  if (texts.length > 1) {
    const lines = texts.map((row) => JSON.stringify(row)).join('\n');
    return `format(JSONCompactEachRow, '${structure}', ${quoted(lines)})`;
  }
  return `values('${structure}', ${texts.map((row) => `(${row.map(quoted).join(', ')})`).join(', ')})`;
}

/** The rows of an answer, a JSON object a line. */
export function parseRows(answer: string): unknown[] {
  return answer
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);
}
