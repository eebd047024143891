import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Context } from '../context.ts';
import { isCompressed, MAGIC_BYTES } from '../ingest/source.ts';
import type { IngestSummary } from '../ingest/summary.ts';
import type { Output } from '../io.ts';
import { glyphs } from '../render/glyphs.ts';
import { formatBytes, formatCount, plural, printable } from '../render/text.ts';
import { textWidth } from '../render/width.ts';

/** How far work has come; what is not known is left out. */
export interface Figures {
  /** What is worked on just now, in words. */
  at?: string;
  lines?: bigint;
  accepted?: bigint;
  rejected?: bigint;
  /** Lines that were there already. */
  skipped?: bigint;
  /** Bytes read or written. */
  bytes?: number;
  /** Which part of the whole is done, from 0 to 1, where the whole is known. */
  part?: number;
}

/** A line about work under way. */
export interface Progress {
  update(figures: Figures): void;
  /** Takes the line away; nothing is said after it. */
  stop(): void;
}

/** How often the line is written anew on a terminal, and how often a line is written where there is none, ms. */
const ON_TERMINAL = 250;
const ELSEWHERE = 5_000;
/** Rates and the time left are of the last seconds, not of the whole run. */
const WINDOW = 10_000;

/**
 * Begins to say how work comes on: one line that changes on a terminal, elsewhere a line every few seconds, both on
 * standard error; nothing with --quiet. Where there is no terminal, nothing is said of work that is done sooner, nor
 * while nothing is new.
 * @param doing what is done: `ingesting`
 * @param options.live whether input comes when it comes: then the rates fall while there is none
 */
export function startProgress(
  { config, io }: Pick<Context, 'config' | 'io'>,
  doing: string,
  { live = false, clock = () => performance.now() }: { live?: boolean; clock?: () => number } = {},
): Progress {
  if (config.quiet) return { update: () => {}, stop: () => {} };
  const { separator } = glyphs(config.unicode);
  const pace = new Pace(clock, live);
  const words = (width: number) => progressWords(doing, pace.now(), { width, separator });
  const terminal = io.stderr.isTTY === true && io.env.TERM !== 'dumb';
  const line = terminal ? spinnerLine(io.stderr, config.color) : plainLine(io.stderr);
  let news = false;
  const tick = () => {
    if (terminal || news) line.show(words(line.width()));
    news = false;
  };
  const timer = setInterval(tick, terminal ? ON_TERMINAL : ELSEWHERE).unref();
  if (terminal) line.show(words(line.width()));
  return {
    update: (figures) => {
      news = true;
      pace.add(figures);
    },
    stop: () => {
      clearInterval(timer);
      line.end();
    },
  };
}

interface Line {
  width(): number;
  show(text: string): void;
  end(): void;
}

/** Two columns are the spinner's. */
function spinnerLine(stream: Output, color: boolean): Line {
  // Loaded where there is a terminal alone: it takes 60 ms.
  const { default: ora } = createRequire(import.meta.url)('ora') as typeof import('ora');
  const spinner = ora({
    stream: stream as NodeJS.WriteStream,
    isEnabled: true,
    discardStdin: false,
    color: color ? 'cyan' : false,
  }).start();
  return {
    width: () => (stream.columns ?? 80) - 3,
    show: (text) => {
      spinner.text = text;
    },
    end: () => void spinner.stop(),
  };
}

function plainLine(stream: Output): Line {
  return {
    width: () => Number.POSITIVE_INFINITY,
    // Whoever reads it may have gone: the work goes on.
    show: (text) => void stream.write(`${text}\n`, () => {}),
    end: () => {},
  };
}

/** What is known at a moment, with the rates of the last seconds. */
export interface Snapshot extends Figures {
  elapsedMs: number;
  /** Accepted events, or lines where no verdict is given, and bytes, each a second. */
  perSecond?: number;
  bytesPerSecond?: number;
  /** At the pace of the last seconds. */
  leftMs?: number;
}

/** Figures over time. */
class Pace {
  readonly #clock: () => number;
  readonly #live: boolean;
  readonly #start: number;
  /** The samples of the last seconds, oldest first. */
  readonly #samples: { at: number; figures: Figures }[];

  constructor(clock: () => number, live: boolean) {
    this.#clock = clock;
    this.#live = live;
    this.#start = clock();
    this.#samples = [{ at: this.#start, figures: {} }];
  }

  add(figures: Figures): void {
    const at = this.#clock();
    this.#samples.push({ at, figures });
    // One from before the window stays, so that what comes seldom has a rate too.
    while (this.#samples.length > 2 && at - (this.#samples[1]?.at ?? at) > WINDOW) this.#samples.shift();
  }

  now(): Snapshot {
    const at = this.#clock();
    const last = this.#samples.at(-1);
    const elapsedMs = at - this.#start;
    const first = this.#live
      ? this.#samples.findLast((sample, i) => i === 0 || at - sample.at >= WINDOW)
      : this.#samples[0];
    if (!first || !last || last.at <= this.#start) return { ...last?.figures, elapsedMs };
    const seconds = (this.#live ? Math.min(WINDOW, elapsedMs) : last.at - first.at) / 1000;
    const rate = (of: (figures: Figures) => bigint | number | undefined) => {
      const value = of(last.figures);
      return value === undefined ? undefined : (Number(value) - Number(of(first.figures) ?? 0)) / seconds;
    };
    const perSecond = rate(({ accepted, lines }) => accepted ?? lines);
    const bytesPerSecond = rate(({ bytes }) => bytes);
    const parts = rate(({ part }) => part);
    const { part } = last.figures;
    const leftMs =
      parts && part !== undefined && part < 1
        ? Math.max(0, ((1 - part) / parts) * 1000 - (this.#clock() - last.at))
        : undefined;
    return {
      ...last.figures,
      elapsedMs,
      ...(perSecond !== undefined && { perSecond }),
      ...(bytesPerSecond !== undefined && { bytesPerSecond }),
      ...(leftMs !== undefined && { leftMs }),
    };
  }
}

/** The line, in as many columns as there are: the last parts are left out first. */
export function progressWords(
  doing: string,
  known: Snapshot,
  { width, separator }: { width: number; separator: string },
): string {
  const { at, part, leftMs, lines, perSecond, bytes, bytesPerSecond, accepted, rejected, skipped } = known;
  const parts = [
    at === undefined ? doing : `${doing} ${printable(at)}`,
    ...(part === undefined ? [] : [`${Math.min(100, Math.floor(part * 100))} %`]),
    ...(leftMs === undefined ? [] : [`${duration(leftMs)} left`]),
    ...(lines === undefined ? [] : [plural(lines, 'line')]),
    ...(perSecond === undefined ? [] : [`${formatCount(Math.round(perSecond))} events/s`]),
    ...(bytesPerSecond === undefined ? [] : [`${formatBytes(bytesPerSecond)}/s`]),
    ...(rejected === undefined ? [] : [`${formatCount(rejected)} rejected`]),
    ...(accepted === undefined ? [] : [`${formatCount(accepted)} accepted`]),
    ...(skipped === undefined || skipped === 0n ? [] : [`${formatCount(skipped)} skipped`]),
    ...(bytes === undefined || part !== undefined ? [] : [formatBytes(bytes)]),
    ...(part === undefined ? [duration(known.elapsedMs)] : []),
  ];
  while (parts.length > 1 && textWidth(parts.join(separator)) > width) parts.pop();
  return parts.join(separator);
}

/** 45 s, 3 min 20 s, 2 h 5 min. */
function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/**
 * Says how an ingest comes on.
 * @param files as named; none, or -, for standard input
 */
export function ingestProgress(
  context: Context,
  files: readonly string[],
): { update(summary: IngestSummary, bytesDone: number): void; stop(): void } {
  const total = context.config.quiet ? undefined : inputSize(files, context.io.stdin);
  const progress = startProgress(context, 'ingesting', { live: total === undefined });
  return {
    update: ({ lines, accepted, rejected, skipped }, bytes) => {
      const part = total ? Math.min(1, bytes / total) : undefined;
      progress.update({ lines, accepted, rejected, skipped, bytes, ...(part !== undefined && { part }) });
    },
    stop: progress.stop,
  };
}

/** How many bytes will come out of the inputs; undefined where that is not known: of a pipe, or what is compressed. */
function inputSize(files: readonly string[], stdin: { fd?: number }): number | undefined {
  const sizes = (files.length === 0 ? ['-'] : files).map((file) => {
    try {
      if (file === '-') return stdin.fd === undefined ? undefined : plainSize(stdin.fd);
      // Opening a pipe would wait for its writer.
      if (!statSync(file).isFile()) return undefined;
      const descriptor = openSync(file, 'r');
      try {
        return plainSize(descriptor);
      } finally {
        closeSync(descriptor);
      }
    } catch {
      // What is wrong with it is said by who reads it.
      return undefined;
    }
  });
  return sizes.reduce((sum, size) => (sum === undefined || size === undefined ? undefined : sum + size), 0);
}

/** The length of an open file that is not compressed; its position stays where it is. */
function plainSize(descriptor: number): number | undefined {
  const status = fstatSync(descriptor);
  if (!status.isFile()) return undefined;
  const start = Buffer.alloc(MAGIC_BYTES);
  readSync(descriptor, start, 0, start.length, 0);
  return isCompressed(start) ? undefined : status.size;
}
