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
  /** Never shortened nor broken in a table, such as what is typed into the next command. */
  whole?: boolean;
  /** What the table has in the place of the value of a row. */
  shown?: (row: Row) => string;
}

/** What a command has found out, free of any format. */
export interface Report {
  /** The whole result as `--format json` prints it. */
  data: unknown;
  /** The rows that ndjson, csv, markdown and the table print. */
  rows: readonly Row[];
  columns: readonly Column[];
  /** The columns of the table alone, where its title and notes have what the others repeat in every row. */
  tableColumns?: readonly Column[];
  /** The rows as several tables, for people. */
  sections?: readonly Section[];
  /** One line over the table, for people. */
  title?: string;
  /** In the table, text that does not fit is wrapped, not shortened. */
  wrap?: boolean;
  /** Where the table would not fit, each row is printed one field a line, whole; a single column is wrapped. */
  records?: boolean;
  /** Drawn for people in the place of the table. */
  charts?: readonly Chart[];
  /** Lines under the table, for people: totals, notes, what to do next. */
  notes?: readonly string[];
}

/** A table of several: rows of one kind under a heading. */
export type Section = Pick<Report, 'rows' | 'columns' | 'wrap'> & { title: string };

/** What is drawn on a terminal; labels are never trusted. */
export type Chart = Bars | Columns | Gauges;

/** How the values of a chart are written. */
export type Measure = 'count' | 'bytes';

/** A bar a name, in the order given, each with its share of the total. */
export interface Bars {
  kind: 'bars';
  title: string;
  measure: Measure;
  bars: readonly { label: string; value: bigint }[];
  /** What all bars are shares of; more than their sum where some are not shown. */
  total: bigint;
}

/** A column for every step of a stretch of time, also those without anything in them. */
export interface Columns {
  kind: 'columns';
  /** Of what, and in which steps: `Events`, `hour`. */
  title: string;
  step: 'hour' | 'day' | 'month';
  measure: Measure;
  /** In the order of time. ordinal: number of the step since some round time; label: what stands below it. */
  columns: readonly { ordinal: number; label: string; value: bigint; projected?: boolean }[];
  /** Where several steps share a column, it shows their sum, or the last of them. */
  merged: 'sum' | 'last';
  /** Levels that the columns are held against. */
  rules?: readonly { label: string; level: bigint; limit: boolean }[];
}

/** How full something is, a line each. */
export interface Gauges {
  kind: 'gauges';
  title: string;
  gauges: readonly {
    label: string;
    /** In words: `1,311 of 1,500 events`. */
    amount: string;
    /** Per cent of the limit. */
    percent: number;
    /** Thresholds, per cent of the limit. */
    marks: readonly number[];
    state: 'fine' | 'warned' | 'full';
  }[];
}
