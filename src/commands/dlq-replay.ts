import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { z } from 'zod';
import type { Context } from '../context.ts';
import {
  type BillChange,
  planReplay,
  type ReplayPlan,
  type Staying,
  type Wanted,
} from '../dead-letters/plan.ts';
import { type BilledChange, type ReplayResult, replay } from '../dead-letters/replay.ts';
import { EXIT, InfrasageError, usageError } from '../errors.ts';
import { EVENT_TYPES } from '../ingest/contract.ts';
import type { Column, Report } from '../render/report.ts';
import { formatBytes, formatCount, plural } from '../render/text.ts';
import { letterStates } from '../reports/dead-letters.ts';
import type { Store } from '../store/store.ts';
import { checkAfterIngest } from './alerts-check.ts';
import { type Act, examples, oneOf } from './command.ts';
import { type FilterOptions, filterOptions, letterFilter, noLetter } from './dlq-filter.ts';
import { onInterrupt } from './interrupt.ts';
import { eventsByMonth, type LateEvents, lateEvents, lateJson, lateNotes } from './late-events.ts';
import { maxLine as maxLineSchema } from './max-line.ts';
import { startProgress } from './progress.ts';
import { parseChange } from './set-field.ts';

interface ReplayOptions extends FilterOptions {
  set?: Map<string, unknown>;
  defaultType?: string;
  assumeUtc?: boolean;
  strict: boolean;
  maxAge: boolean;
  maxLine?: string;
  dryRun?: boolean;
  alerts: boolean;
}

/** `dlq replay`. */
export function configure(command: Command, act: Act): void {
  const replaying = filterOptions(command.command('replay [ids...]'))
    .description(
      'Send open dead letters through the pipeline again, or only those of these ids. Each counts at most once, however often this is repeated.',
    )
    .option(
      '--set <field=value>',
      'set a field of each first; may be repeated',
      (text: string, fields: ReadonlyMap<string, unknown> | undefined) =>
        new Map([...(fields ?? []), parseChange(text)]),
    )
    .addOption(oneOf('--default-type <type>', 'event type of those without one', EVENT_TYPES))
    .option('--assume-utc', 'also take timestamps without an offset, or with a space for the T')
    .option('--no-strict', 'do not demand what ingest --strict did')
    .option('--no-max-age', 'take events of any age, whatever ingest --max-age said')
    .option('--max-line <bytes>', 'take lines up to this length')
    .option('--dry-run', 'only say what it would change')
    .option('--no-alerts', 'do not evaluate the alerts afterwards');
  examples(replaying, [
    'infrasage dlq replay --error timestamp_in_future',
    'infrasage dlq replay 3fa9c1d20b7e.1-17 3fa9c1d20b7e.1-21 --set service_id=checkout-api',
    'infrasage dlq replay --error missing_service_id --set service_id=checkout-api --dry-run',
    'infrasage dlq replay --error invalid_timestamp --assume-utc --since 24h',
    'infrasage dlq replay --source events.ndjson --default-type log',
  ]);
  act<ReplayOptions, [string[]]>(replaying, async (context, options, ids) => {
    const wanted = {
      filter: { ...letterFilter(context, options), ...(ids.length > 0 && { ids }) },
      changes: options.set ?? new Map(),
      options: lineChanges(options),
    };
    if (options.dryRun) {
      const store = await context.store();
      const before = await replayedBefore(store, ids);
      const judging = startProgress(context, JUDGING);
      const onProgress = (lines: bigint) => judging.update({ lines });
      const planning = planReplay(store, wanted, context.now, { onProgress });
      const plan = await planning.finally(judging.stop);
      const late = await lateEvents(store, eventsByMonth(plan.bill));
      return context.print(planReport(plan, context, { before, late }));
    }
    const store = await context.storeToChange();
    const before = await replayedBefore(store, ids);
    const interrupt = onInterrupt(() => context.say('finishing the batch under way; once more ends at once'));
    let progress = startProgress(context, JUDGING);
    let result: ReplayResult;
    try {
      result = await replay(wanted, {
        store,
        now: context.io.now,
        id: randomUUID,
        stop: interrupt.signal,
        onProgress: (lines, part) => progress.update({ lines, ...(part !== undefined && { part }) }),
        onPlan: async (plan) => {
          progress.stop();
          if (plan.passing === 0n) return;
          await context.say(
            `${plural(plan.passing, 'dead letter')} of ${formatCount(plan.selected)} will count, and change the bill:`,
          );
          for (const line of billLines(plan.bill)) await context.say(`  ${line}`);
          for (const note of lateNotes(await lateEvents(store, eventsByMonth(plan.bill)), context))
            await context.say(`  ${note}`);
          progress = startProgress(context, 'replaying dead letters');
        },
      });
    } finally {
      progress.stop();
      interrupt.dispose();
    }
    const late = await lateEvents(store, eventsByMonth(result.bill));
    await context.print(resultReport(result, context, { before, late }));
    if (options.alerts && result.accepted > 0n && !interrupt.signal.aborted) await checkAfterIngest(context);
    if (interrupt.signal.aborted) {
      throw new InfrasageError('interrupted', {
        kept: 'what the summary counts is replayed and safe',
        hint: 'run the same command again to go on where it stopped',
      });
    }
    return EXIT.ok;
  });
}

/**
 * How many of the letters of these ids were replayed before: they are not sent again.
 * @throws InfrasageError (exit 2) where there is no letter of an id: nothing is sent then
 */
async function replayedBefore(store: Store, ids: readonly string[]): Promise<bigint> {
  if (ids.length === 0) return 0n;
  const found = await letterStates(store, ids);
  const missing = ids.filter((id) => !found.has(id));
  if (missing.length > 0) throw noLetter(missing);
  return BigInt([...found.values()].filter((state) => state === 'replayed').length);
}

const JUDGING = 'judging dead letters';

const optionsSchema = z.object({
  defaultType: z
    .enum(EVENT_TYPES, { error: `--default-type must be one of ${EVENT_TYPES.join(', ')}` })
    .optional(),
  maxLine: maxLineSchema.optional(),
});

/** What the options say in place of those that the lines were rejected with. */
function lineChanges({ assumeUtc, strict, maxAge, ...given }: ReplayOptions): Wanted['options'] {
  const parsed = optionsSchema.safeParse(given);
  if (!parsed.success) throw usageError(parsed.error.issues[0]?.message ?? 'wrong options');
  const { defaultType, maxLine } = parsed.data;
  return {
    ...(defaultType && { defaultType }),
    ...(assumeUtc && { assumeUtc }),
    ...(!strict && { strict }),
    ...(!maxAge && { maxAgeSeconds: null }),
    ...(maxLine !== undefined && { maxLine }),
  };
}

/** Changes of the bill that are said one by one before they are made; all are in the report. */
const MOST_LINES = 10;

function billLines(bill: readonly BillChange[]): string[] {
  const lines = bill
    .slice(0, MOST_LINES)
    .map(
      ({ tenantId, month, eventType, events, bytesReceived }) =>
        `${tenantId} ${month} ${eventType}: +${plural(events, 'event')}, ${formatBytes(bytesReceived)} sent`,
    );
  return bill.length > MOST_LINES
    ? [...lines, `and ${formatCount(bill.length - MOST_LINES)} more: --dry-run shows all`]
    : lines;
}

const BILL_COLUMNS: readonly Column[] = [
  { key: 'tenant_id', title: 'Tenant', kind: 'text' },
  { key: 'month', title: 'Month', kind: 'text', whole: true },
  { key: 'event_type', title: 'Type', kind: 'text' },
  { key: 'events', title: 'Events', kind: 'count' },
  { key: 'bytes_received', title: 'Sent', kind: 'bytes' },
];

function billCells({ tenantId, month, eventType, events, bytesReceived }: BillChange) {
  return { tenant_id: tenantId, month, event_type: eventType, events, bytes_received: bytesReceived };
}

interface Beside {
  /** Letters that were named and replayed before. */
  before: bigint;
  /** Events for closed months, by month. */
  late: LateEvents;
}

function planReport(plan: ReplayPlan, context: Context, { before, late }: Beside): Report {
  const { selected, passing, bill } = plan;
  const rows = bill.map(billCells);
  return {
    data: {
      dry_run: true,
      selected,
      passing,
      staying: staying(plan),
      bytes_received: bill.reduce((sum, change) => sum + change.bytesReceived, 0n),
      bill: rows,
      ...lateJson(late),
    },
    rows,
    columns: BILL_COLUMNS,
    notes: [
      `${summary(selected, [[passing, 'would count'], stay(plan)])}. Nothing was changed (dry run).`,
      ...lateNotes(late, context),
      ...stayingLines(plan),
      ...beforeLines(before),
    ],
  };
}

function resultReport(result: ReplayResult, context: Context, { before, late }: Beside): Report {
  const { plan, accepted, rejected, bytesReceived, bytesIngested } = result;
  const rows = result.bill.map((change: BilledChange) => ({
    ...billCells(change),
    bytes: change.bytesIngested,
  }));
  const left = plan.passing - accepted - rejected;
  return {
    data: {
      dry_run: false,
      selected: plan.selected,
      replayed: accepted,
      rejected_again: rejected,
      left,
      staying: staying(plan),
      bytes_received: bytesReceived,
      bytes_ingested: bytesIngested,
      bill: rows,
      batches: result.batchIds,
      ...lateJson(late),
    },
    rows,
    columns: [...BILL_COLUMNS, { key: 'bytes', title: 'Stored', kind: 'bytes' }],
    notes: [
      `${summary(plan.selected, [
        [accepted, 'replayed'],
        [rejected, 'rejected again'],
        stay(plan),
        [left, 'left'],
      ])}.`,
      ...(accepted > 0n
        ? [
            `${formatBytes(bytesReceived)} sent, ${formatBytes(bytesIngested)} stored.`,
            ...lateNotes(late, context),
            `See what was replayed: ${context.commandLine('dlq list --state replayed')}`,
          ]
        : []),
      ...(rejected > 0n
        ? [`${plural(rejected, 'letter')} rejected again: replaced by the new one each has become.`]
        : []),
      ...stayingLines(plan),
      ...beforeLines(before),
    ],
  };
}

/** What has become of the open letters that were looked at, in one line; of what there is none, nothing is said. */
function summary(selected: bigint, parts: readonly (readonly [letters: bigint, what: string])[]): string {
  const said = parts
    .filter(([letters]) => letters > 0n)
    .map(([letters, what]) => `${formatCount(letters)} ${what}`);
  return selected === 0n
    ? 'No open dead letters to replay'
    : `${plural(selected, 'open dead letter')}: ${said.join(', ')}`;
}

function stay({ selected, passing }: ReplayPlan): [bigint, string] {
  const letters = selected - passing;
  return [letters, letters === 1n ? 'stays' : 'stay'];
}

function beforeLines(before: bigint): string[] {
  return before > 0n ? [`${plural(before, 'letter')} named here replayed before: not sent again.`] : [];
}

function staying({ staying: reasons }: ReplayPlan): Record<string, bigint> {
  return Object.fromEntries([...reasons].sort(([, a], [, b]) => (b > a ? 1 : b < a ? -1 : 0)));
}

const WHY: Partial<Record<Staying, string>> = {
  cut: 'not all of the line was kept',
  unsettled: 'of a batch that is not committed',
};

function stayingLines(plan: ReplayPlan): string[] {
  const reasons = Object.entries(staying(plan)) as [Staying, bigint][];
  return reasons.length === 0
    ? []
    : [
        `Staying: ${reasons.map(([reason, letters]) => `${formatCount(letters)} ${WHY[reason] ?? reason}`).join(', ')}`,
      ];
}
