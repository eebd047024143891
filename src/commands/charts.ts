import type { Option } from 'commander';
import { DIMENSIONS, type Dimension } from '../alerts/evaluate.ts';
import { usedPercent } from '../alerts/quotas.ts';
import type { LimitStatus } from '../alerts/status.ts';
import type { Context } from '../context.ts';
import { usageError } from '../errors.ts';
import type { Month, Period } from '../period.ts';
import type { Bars, Columns, Gauges } from '../render/report.ts';
import { formatBytes, formatCount, plural } from '../render/text.ts';
import type { Billing, TypeUsage } from '../reports/billing.ts';
import { type Point, STEP_LENGTH, type Step } from '../reports/series.ts';
import type { Usage } from '../reports/usage.ts';
import { oneOf } from './command.ts';
import { groupLabel } from './group-label.ts';

/** The option of the commands that draw. */
export function chartOption(): Option {
  return oneOf('--chart [measure]', 'draw charts in the place of the table, default events', DIMENSIONS);
}

/** Bars of a breakdown; the rest is one bar. */
const MOST_BARS = 20;
/** A period up to this long is drawn by hour, a longer one by day: three days. */
const BY_HOUR = 72 * STEP_LENGTH.hour;
/** The days of a longer one have the year with them. */
const YEAR = 365 * STEP_LENGTH.day;

const TITLES: Record<Dimension, string> = { events: 'Events', bytes: 'Stored bytes' };
const kindOf = (measure: Dimension) => (measure === 'bytes' ? 'bytes' : 'count');

/**
 * The measure of `--chart [measure]`; undefined where none is asked for.
 * @throws InfrasageError (exit 2) where it is none, or the output is no table: charts are for people
 */
export function chartMeasure(chart: string | true | undefined, { config }: Context): Dimension | undefined {
  if (chart === undefined) return undefined;
  const measure = DIMENSIONS.find((name) => name === (chart === true ? 'events' : chart));
  if (!measure) throw usageError(`--chart ${chart} is not a measure`, `use one of ${DIMENSIONS.join(', ')}`);
  if (config.format !== 'table') {
    throw usageError(
      `--chart draws for people, and --format ${config.format} is for programs`,
      'leave one of them out',
    );
  }
  return measure;
}

/** Steps that show a period well. */
export function stepOf({ start, end }: Period): Step {
  return end.getTime() - start.getTime() <= BY_HOUR ? 'hour' : 'day';
}

/** A breakdown as bars: what has one name is one bar, also where it is of several tenants. */
export function breakdownChart(
  { rows, totalEvents, totalBytes }: Usage,
  title: string,
  measure: Dimension,
): Bars {
  const total = measure === 'bytes' ? totalBytes : totalEvents;
  const sums = new Map<string, bigint>();
  for (const row of rows) {
    const label = groupLabel(row);
    sums.set(label, (sums.get(label) ?? 0n) + row[measure]);
  }
  const all = [...sums].map(([label, value]) => ({ label, value }));
  all.sort((a, b) => (b.value > a.value ? 1 : b.value < a.value ? -1 : a.label < b.label ? -1 : 1));
  const bars = all.slice(0, MOST_BARS);
  const rest = total - bars.reduce((sum, { value }) => sum + value, 0n);
  if (rest > 0n) bars.push({ label: 'all others', value: rest });
  return { kind: 'bars', title: `${TITLES[measure]} by ${title}`, measure: kindOf(measure), bars, total };
}

/** The types of a bill as bars. */
export function typesChart(types: readonly TypeUsage[], measure: Dimension): Bars {
  return {
    kind: 'bars',
    title: `${TITLES[measure]} by type`,
    measure: kindOf(measure),
    bars: types.map((type) => ({ label: type.event_type, value: type[measure] })),
    total: types.reduce((sum, type) => sum + type[measure], 0n),
  };
}

/** Values by the start of their step, as the reports write it. */
type Values = ReadonlyMap<string, bigint>;

/** Usage over time, of all types together. */
export function timeChart(
  values: Values,
  step: Columns['step'],
  period: Period,
  measure: Dimension,
): Columns {
  return {
    kind: 'columns',
    title: TITLES[measure],
    step,
    measure: kindOf(measure),
    merged: 'sum',
    columns: steps(step, period, [...values.keys()]).map((of) => ({
      ...of,
      value: values.get(of.key) ?? 0n,
    })),
  };
}

/** The points of a series by their time, all types together. */
export function sumPoints(points: readonly Point[], measure: Dimension): Map<string, bigint> {
  const sums = new Map<string, bigint>();
  for (const point of points) sums.set(point.time, (sums.get(point.time) ?? 0n) + point[measure]);
  return sums;
}

/** The rows of a breakdown over time likewise. */
export function sumRows({ rows }: Usage, measure: Dimension): Map<string, bigint> {
  const sums = new Map<string, bigint>();
  for (const row of rows) sums.set(row.key ?? '', (sums.get(row.key ?? '') ?? 0n) + row[measure]);
  return sums;
}

/** The steps of a period, with those after its end that have something in them. */
function steps(step: Columns['step'], { start, end }: Period, known: readonly string[]) {
  const found: { key: string; ordinal: number; label: string }[] = [];
  const newest = [...known].sort().at(-1) ?? '';
  const inYear = end.getTime() - start.getTime() <= YEAR;
  const after = (time: Date) => time >= end && keyOf(time, step) > newest;
  for (let time = firstStep(step, start); !after(time); time = nextStep(step, time)) {
    found.push({
      key: keyOf(time, step),
      ordinal: ordinalOf(time, step),
      label: labelOf(time, step, inYear),
    });
  }
  return found;
}

/** An hour belongs to the period in which it starts; of a day or month, what is in the period is shown. */
function firstStep(step: Columns['step'], start: Date): Date {
  if (step === 'month') return new Date(Date.UTC(start.getUTCFullYear(), start.getUTCMonth(), 1));
  const round = step === 'hour' ? Math.ceil : Math.floor;
  return new Date(round(start.getTime() / STEP_LENGTH[step]) * STEP_LENGTH[step]);
}

function nextStep(step: Columns['step'], time: Date): Date {
  if (step === 'month') return new Date(Date.UTC(time.getUTCFullYear(), time.getUTCMonth() + 1, 1));
  return new Date(time.getTime() + STEP_LENGTH[step]);
}

function keyOf(time: Date, step: Columns['step']): string {
  const iso = time.toISOString();
  return step === 'hour' ? `${iso.slice(0, 13)}:00:00Z` : iso.slice(0, step === 'day' ? 10 : 7);
}

/** Number of a step since a time that is the start of a day, of a week (a Monday), of a year. */
function ordinalOf(time: Date, step: Columns['step']): number {
  if (step === 'month') return time.getUTCFullYear() * 12 + time.getUTCMonth();
  return time.getTime() / STEP_LENGTH[step] + (step === 'day' ? 3 : 3 * 24);
}

function labelOf(time: Date, step: Columns['step'], inYear: boolean): string {
  const iso = time.toISOString();
  if (step === 'month') return iso.slice(0, 7);
  if (step === 'day' && !inYear) return iso.slice(0, 10);
  return step === 'day' || time.getUTCHours() === 0 ? iso.slice(5, 10) : iso.slice(11, 16);
}

/** What a bill's chart is drawn from. */
export interface BillSeries {
  found: Billing;
  /** Of each day of the month. */
  points: readonly Point[];
  now: Date;
}

/** The month day by day, added up, against the limit of its one tenant; what is still to come, at the pace so far. */
export function monthChart({ found, points, now }: BillSeries, measure: Dimension): Columns {
  const { month, total } = found;
  const values = sumPoints(points, measure);
  const all = steps('day', month.period, []);
  const today = keyOf(now, 'day');
  const projected = measure === 'bytes' ? total.projected_bytes : total.projected_events;
  const soFar = measure === 'bytes' ? total.total_bytes : total.total_events;
  const open = now < month.period.end;
  const to = open ? Math.max(1, all.filter(({ key }) => key > today).length) : 1;
  let sum = 0n;
  let ahead = 0;
  return {
    kind: 'columns',
    title: `${TITLES[measure]} of the month, added up,`,
    step: 'day',
    measure: kindOf(measure),
    merged: 'last',
    columns: all.map(({ key, ...of }) => {
      sum += values.get(key) ?? 0n;
      if (!open || key <= today) return { ...of, value: sum };
      ahead += 1;
      const expected = soFar + ((projected - soFar) * BigInt(ahead)) / BigInt(to);
      return { ...of, value: expected > sum ? expected : sum, projected: true };
    }),
    rules: found.tenants.length === 1 ? rulesOf(found, measure) : [],
  };
}

function rulesOf({ limits }: Billing, measure: Dimension): NonNullable<Columns['rules']> {
  const write = measure === 'bytes' ? formatBytes : formatCount;
  return limits
    .filter(({ dimension }) => dimension === measure)
    .flatMap(({ quota, thresholds }) => [
      { label: `quota ${write(quota)}`, level: quota, limit: true },
      ...thresholds.map(({ percent, level }) => ({ label: `${percent} %`, level, limit: false })),
    ]);
}

/** How the limits of tenants stand, fullest first. */
export function limitsChart(limits: readonly LimitStatus[], { name }: Month): Gauges[] {
  if (limits.length === 0) return [];
  const several = new Set(limits.map(({ dimension }) => dimension)).size > 1;
  const gauges = limits.map(({ tenantId, dimension, used, quota, thresholds }) => {
    const amount =
      dimension === 'bytes'
        ? `${formatBytes(used)} of ${formatBytes(quota)}`
        : `${formatCount(used)} of ${plural(quota, 'event')}`;
    return {
      label: several ? `${tenantId}, ${dimension}` : tenantId,
      amount,
      percent: usedPercent(used, quota),
      marks: thresholds.map(({ percent }) => percent),
      state: stateOf(used, quota, thresholds),
    };
  });
  gauges.sort((a, b) => b.percent - a.percent);
  const shown = gauges.slice(0, MOST_BARS);
  const cut = gauges.length > shown.length ? `, the fullest ${shown.length} of ${gauges.length}` : '';
  return [{ kind: 'gauges', title: `Quotas of ${name}${cut}`, gauges: shown }];
}

function stateOf(
  used: bigint,
  quota: bigint,
  thresholds: LimitStatus['thresholds'],
): Gauges['gauges'][number]['state'] {
  if (used >= quota) return 'full';
  return thresholds.some(({ reached }) => reached) ? 'warned' : 'fine';
}
