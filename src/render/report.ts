/** A value of a cell. bigint carries counts and bytes, exact to 64 bits. */
export type Cell = string | number | bigint | boolean | null;
export type Row = Readonly<Record<string, Cell>>;

/**
 * What a column holds, which decides how it is written:
 * count: whole number, thousands separated in tables;
 * bytes: length in bytes, `1.50 MiB` in tables and a plain number elsewhere;
 * number: anything numeric that is neither; text: everything else, never trusted.
 */
export interface Column {
  key: string;
  title: string;
  kind: 'text' | 'count' | 'bytes' | 'number';
  /** Never shortened in a table, such as what is typed into the next command. */
  whole?: boolean;
}

/** What a command has found out, free of any format. */
export interface Report {
  /** The whole result as `--format json` prints it. */
  data: unknown;
  /** The rows that ndjson, csv, markdown and the table print. */
  rows: readonly Row[];
  columns: readonly Column[];
  /** One line over the table, for people. */
  title?: string;
  /** In the table, text that does not fit is wrapped, not shortened. */
  wrap?: boolean;
  /** Lines under the table, for people: totals, notes, what to do next. */
  notes?: readonly string[];
}
