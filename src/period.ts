import ms, { type StringValue } from 'ms';
import { usageError } from './errors.ts';

/** A stretch of time. An hour belongs to the period in which it starts. */
export interface Period {
  /** Inclusive. */
  start: Date;
  /** Exclusive; where open is set, the time of the report. */
  end: Date;
  /**
   * Nothing bounds it above: events stamped ahead of the clock (the contract
   * lets them be, up to 24 hours) are in it too, as in SQL without an upper bound.
   */
  open: boolean;
}

/** A hundred years. */
const LONGEST_SPAN = 100 * 366 * 24 * 3_600_000;

const SPAN = /^(\d+(?:\.\d+)?)\s*(m|h|d|w)$/;
const DATE = /^\d{4}-\d{2}-\d{2}$/;
const RFC3339 = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:\d{2})$/;
const MONTH = /^(\d{4})-(\d{2})$/;

/**
 * The length of a time span: `90m`, `24h`, `7d`, `2w`. Milliseconds.
 * @throws InfrasageError (exit 2) naming the option
 */
export function parseSpan(text: string, option: string): number {
  const span = SPAN.test(text) ? ms(text as StringValue) : undefined;
  if (span === undefined || span < 1000 || span > LONGEST_SPAN) {
    throw usageError(
      `${option} ${text} is not a time span`,
      unitHint(text) || 'write it like 90m, 24h, 7d or 2w',
    );
  }
  return span;
}

/** Of what looks like a span, which units there are. */
function unitHint(text: string): string {
  return /^\d+(\.\d+)?\s*[a-zA-Z]+$/.test(text) && !SPAN.test(text)
    ? 'the units are m, h, d and w: 90m, 24h, 7d, 2w'
    : '';
}

/**
 * A moment: a span before now, a date (00:00 UTC), RFC 3339, or `now`.
 * @throws InfrasageError (exit 2) naming the option
 */
export function parseMoment(text: string, option: string, now: Date): Date {
  if (text === 'now') return now;
  if (SPAN.test(text)) return new Date(now.getTime() - parseSpan(text, option));
  const time = DATE.test(text) || RFC3339.test(text) ? new Date(text) : new Date(Number.NaN);
  // Date rolls 2026-02-30 into March: a date that does not come back as written is none.
  const day = text.slice(0, 10);
  const real = !Number.isNaN(time.getTime()) && new Date(`${day}T00:00:00Z`).toISOString().startsWith(day);
  if (!real) {
    throw usageError(
      `${option} ${text} is not a time`,
      unitHint(text) ||
        'write a span (90m, 24h, 7d, 2w), a date (2026-04-01) or RFC 3339 (2026-04-01T00:00:00Z)',
    );
  }
  return time;
}

/**
 * The moment of `--as-of`, which nothing that comes after it is known at; undefined where it is not given.
 * @throws InfrasageError (exit 2) where it is no time, or is still to come
 */
export function parseAsOf(text: string | undefined, now: Date, option = '--as-of'): Date | undefined {
  if (text === undefined) return undefined;
  const asOf = parseMoment(text, option, now);
  if (asOf > now)
    throw usageError(`${option} ${text} is still to come`, 'leave it out for what is known now');
  return asOf;
}

/**
 * The period of `--since` and `--until`, or of what else names its ends.
 * @throws InfrasageError (exit 2) where it is empty
 */
export function parsePeriod(
  since: string,
  until: string | undefined,
  now: Date,
  names: { since: string; until: string } = { since: '--since', until: '--until' },
): Period {
  const start = parseMoment(since, names.since, now);
  const end = until === undefined ? now : parseMoment(until, names.until, now);
  if (end <= start) {
    throw usageError(
      `${names.since} ${since} is not before ${until === undefined ? 'now' : `${names.until} ${until}`}`,
    );
  }
  return { start, end, open: until === undefined };
}

/** The whole hours that a period has: those that start in it. `end` is undefined where nothing bounds it. */
export function hoursOf({ start, end, open }: Period): { start: Date; end: Date | undefined } {
  const up = (time: Date) => new Date(Math.ceil(time.getTime() / HOUR_MS) * HOUR_MS);
  return { start: up(start), end: open ? undefined : up(end) };
}

const HOUR_MS = 3_600_000;

/** A calendar month, UTC. */
export interface Month {
  /** `2026-11`. */
  name: string;
  period: Period;
}

/**
 * The month of `--month [YYYY-MM]`; without a value, the one that now is in.
 * @throws InfrasageError (exit 2) naming the option
 */
export function parseMonth(text: string | undefined, now: Date, option = '--month'): Month {
  const name = text ?? now.toISOString().slice(0, 7);
  const [, year, month] = MONTH.exec(name) ?? [];
  if (
    year === undefined ||
    Number(year) < 2000 ||
    Number(year) > 2105 ||
    Number(month) < 1 ||
    Number(month) > 12
  ) {
    throw usageError(`${option} ${name} is not a month`, 'write it like 2026-11');
  }
  const start = new Date(Date.UTC(Number(year), Number(month) - 1, 1));
  const end = new Date(Date.UTC(Number(year), Number(month), 1));
  return { name, period: { start, end, open: false } };
}

/** The month that a time is in, UTC. */
export function monthOf(time: Date): Month {
  return parseMonth(time.toISOString().slice(0, 7), time);
}

/** RFC 3339 in UTC, without the milliseconds where there are none. */
export function isoTime(time: Date): string {
  return time.toISOString().replace('.000Z', 'Z');
}
