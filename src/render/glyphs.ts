/** The characters that charts are drawn with. */
export interface Glyphs {
  /** A cell filled from the left by 1/n, 2/n, … n/n, for bars. */
  across: readonly string[];
  /** A cell filled from below, likewise, for columns. */
  upward: readonly string[];
  /** A cell of what is only expected. */
  projected: string;
  empty: string;
  /** Lines across: at a limit, and at a threshold below it. */
  limit: string;
  threshold: string;
  /** The same, upright. */
  limitUpright: string;
  thresholdUpright: string;
  axis: string;
  tick: string;
  corner: string;
  floor: string;
  cut: string;
  separator: string;
}

const UNICODE: Glyphs = {
  across: [...'▏▎▍▌▋▊▉█'],
  upward: [...'▁▂▃▄▅▆▇█'],
  projected: '░',
  empty: '·',
  limit: '━',
  threshold: '╌',
  limitUpright: '┃',
  thresholdUpright: '┊',
  axis: '│',
  tick: '┤',
  corner: '└',
  floor: '─',
  cut: '…',
  separator: ' · ',
};

const ASCII: Glyphs = {
  across: ['#'],
  upward: ['.', '#'],
  projected: ':',
  empty: '.',
  limit: '=',
  threshold: '-',
  limitUpright: '|',
  thresholdUpright: '+',
  axis: '|',
  tick: '+',
  corner: '+',
  floor: '-',
  cut: '~',
  separator: ' | ',
};

export function glyphs(unicode: boolean): Glyphs {
  return unicode ? UNICODE : ASCII;
}

/**
 * Whether a terminal can be taken to show more than ASCII: not one without any abilities, not the Linux console,
 * whose font lacks what charts are made of, and not where the locale names another character set.
 */
export function showsUnicode(env: Readonly<Record<string, string | undefined>>): boolean {
  if (env.TERM === 'dumb' || env.TERM === 'linux') return false;
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG;
  return !locale || /utf-?8/i.test(locale);
}
