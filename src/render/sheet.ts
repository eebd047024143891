/** A page for one reader, as words and figures that are ready to print, in whatever format. No text of it is trusted. */
export interface Sheet {
  /** What it is: `Invoice`. */
  kind: string;
  /** Whose it is. */
  name: string;
  /** What is known of it: month, plan, currency. */
  facts: readonly Pair[];
  /** whole: not broken where there is room for it. */
  columns: readonly { title: string; align: 'left' | 'right'; whole: boolean }[];
  /** A text a column. */
  rows: readonly (readonly string[])[];
  /** What the rows come to; the last of them is what counts. */
  totals: readonly Pair[];
  notes: readonly string[];
}

/** What a figure is, and the figure. */
export type Pair = readonly [name: string, value: string];

/** Papers that pages are made for. */
export const PAPERS = ['a4', 'letter'] as const;
export type Paper = (typeof PAPERS)[number];

/** A longer word is broken where the line ends, in characters: it would push aside what stands beside it. */
const LONGEST_WORD = 24;

export function isLong(word: string): boolean {
  return word.length > LONGEST_WORD;
}
