import type { Dimension } from '../alerts/evaluate.ts';
import { currentLimits } from '../alerts/status.ts';
import { hoursOf, isoTime, type Period, parseAsOf, parsePeriod } from '../period.ts';
import type { Chart, Column, Report } from '../render/report.ts';
import { formatBytes, plural } from '../render/text.ts';
import { GROUPINGS, isAttribute, isTime, parseGrouping } from '../reports/grouping.ts';
import { usageSeries } from '../reports/series.ts';
import { type Usage, usage, usageJson } from '../reports/usage.ts';
import type { Store } from '../store/store.ts';
import { asOfOption, asOfWords } from './as-of.ts';
import {
  breakdownChart,
  chartMeasure,
  chartOption,
  stepOf,
  sumPoints,
  sumRows,
  timeChart,
} from './charts.ts';
import { type CommandModule, examples, oneOf } from './command.ts';
import { groupColumns, groupTitle } from './group-label.ts';
import { alertLines } from './limits.ts';
import { sayIfUnknown } from './unknown-tenant.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  command
    .description(`${command.description()} Metered by the hour: an hour belongs to the period it starts in.`)
    .option('--since <time>', 'start: a span (90m, 24h, 7d, 2w), a date, or RFC 3339', '24h')
    .option('--until <time>', 'end, not included: as --since, or now; without it, there is none')
    .addOption(
      oneOf('--by <grouping>', 'what each row is about, or attributes.KEY', GROUPINGS).default('event_type'),
    )
    .addOption(asOfOption())
    .addOption(chartOption());
  examples(command, [
    'infrasage usage --since 24h',
    'infrasage usage --since 7d --by day --tenant acme-corp',
    'infrasage usage --since 7d --chart',
    'infrasage usage --since 7d --by attributes.team',
    'infrasage usage --since 24h --as-of 2026-11-08T12:00:00Z',
    'infrasage usage --since 2026-11-01 --until 2026-11-08 --by tenant_id --json',
  ]);
  act<UsageOptions>(command, async (context, { since, until, by, chart, asOf: time }) => {
    const groupBy = parseGrouping(by, GROUPINGS);
    const measure = chartMeasure(chart, context);
    const asOf = parseAsOf(time, context.now);
    const period = parsePeriod(since, until, asOf ?? context.now);
    const store = await context.store();
    const tenantId = context.config.tenant ?? null;
    // Asked for together: while the rows of the one are read here, the engine answers the other.
    const asked = [
      usage(store, { tenantId, period, groupBy, asOf }),
      asOf ? undefined : currentLimits(store, { tenantId, now: context.now }),
    ] as const;
    // Where one fails, the other is not left under way.
    await Promise.allSettled(asked);
    const [found, limits] = await Promise.all(asked);
    const report = usageReport(found);
    if (measure) report.charts = await usageCharts(store, found, measure);
    const isUnknown = await sayIfUnknown(context, { store, tenantId, events: found.totalEvents });
    // What would be set for a mistyped name is nothing to be proposed.
    if (!limits || isUnknown) return context.print(report);
    report.notes = [...(report.notes ?? []), ...monthLines({ tenantId, ...limits })];
    return context.print(report);
  });
};

interface UsageOptions {
  since: string;
  until?: string;
  by: string;
  chart?: string | true;
  asOf?: string;
}

/** The breakdown as bars, and the period over time; of a breakdown over time, that. */
async function usageCharts(store: Store, found: Usage, measure: Dimension): Promise<Chart[]> {
  const { tenantId, period, groupBy, asOf } = found;
  if (found.totalEvents === 0n) return [];
  if (isTime(groupBy)) return [timeChart(sumRows(found, measure), groupBy, period, measure)];
  const step = stepOf(period);
  const points = await usageSeries(store, { tenantId, period, step, asOf: asOf ?? undefined });
  return [
    breakdownChart(found, isAttribute(groupBy) ? groupBy : groupTitle(groupBy).toLowerCase(), measure),
    timeChart(sumPoints(points, measure), step, period, measure),
  ];
}

/** How this month stands; nothing where no threshold is stored. */
function monthLines(month: Parameters<typeof alertLines>[0]): string[] {
  const lines = alertLines(month);
  return lines.length === 0 || month.thresholds.length === 0 ? [] : ['', 'This month:', ...lines];
}

/** A usage report as it is printed; also that of `services`. */
export function usageReport(found: Usage): Report {
  const { tenantId, period, groupBy, asOf, rows, totalEvents, totalBytes, omitted } = found;
  const several = rows.some((row) => row.tenant_id !== undefined);
  const empty = totalEvents === 0n;
  const group = groupColumns(groupBy, { tenants: several });
  const figures: Column[] = [
    { key: 'events', title: 'Events', kind: 'count' },
    { key: 'bytes', title: 'Stored bytes', kind: 'bytes' },
  ];
  const data = usageJson(found);
  return {
    data,
    rows: data.breakdown,
    columns: [...group.columns, ...figures],
    tableColumns: [...group.tableColumns, ...figures],
    title: `Usage of ${tenantId ?? 'all tenants'}${hours(period)}${asOfWords(asOf)}`,
    notes: empty
      ? ['No events in this period.', ...hourNotes(period)]
      : [
          ...hourNotes(period),
          ...(omitted > 0
            ? [`${plural(omitted, 'row')} more, in the totals; raise --limit to see them.`]
            : []),
          ...(rows.some(({ kind }) => kind === 'unattributed')
            ? [
                '(unattributed): metered, but its raw events were removed by their age (init --raw-retention).',
              ]
            : []),
          `Total: ${plural(totalEvents, 'event')}, ${formatBytes(totalBytes)} stored`,
        ],
  };
}

/** The bounds in effect: ` since 2026-11-26T05:00:00Z`. */
function hours(period: Period): string {
  const { start, end } = hoursOf(period);
  return end ? `, ${isoTime(start)} to ${isoTime(end)}` : ` since ${isoTime(start)}`;
}

/** Of a short period, that it has less than its span says, and how to see what it has not. */
function hourNotes({ start, end }: Period): string[] {
  const into = start.getTime() % HOUR_MS;
  if (into === 0 || end.getTime() - start.getTime() >= 2 * HOUR_MS) return [];
  const begun = isoTime(new Date(start.getTime() - into));
  return [
    `Usage is metered by the hour, and an hour counts where it starts: --since ${begun} has the one begun before.`,
  ];
}

const HOUR_MS = 3_600_000;
