import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { isLosslessNumber, parse, stringify } from 'lossless-json';
import { z } from 'zod';
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
import { readJson } from '../strict-json.ts';
import { checkAfterIngest } from './alerts-check.ts';
import { type Act, examples, oneOf } from './command.ts';
import { type FilterOptions, filterOptions, letterFilter } from './dlq-filter.ts';
import { onInterrupt } from './interrupt.ts';
import { maxLine as maxLineSchema } from './max-line.ts';
import { startProgress } from './progress.ts';

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
  const replaying = filterOptions(command.command('replay'))
    .description(
      'Send open dead letters through the pipeline again. Each counts at most once, however often this is repeated.',
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
    'infrasage dlq replay --error missing_service_id --set service_id=checkout-api --dry-run',
    'infrasage dlq replay --error invalid_timestamp --assume-utc --since 24h',
    'infrasage dlq replay --source events.ndjson --default-type log',
  ]);
  act<ReplayOptions>(replaying, async (context, options) => {
    const wanted = {
      filter: letterFilter(context, options),
      changes: options.set ?? new Map(),
      options: lineChanges(options),
    };
    if (options.dryRun) {
      const store = await context.store();
      const judging = startProgress(context, JUDGING);
      const onProgress = (lines: bigint) => judging.update({ lines });
      const planning = planReplay(store, wanted, context.now, { onProgress });
      return context.print(planReport(await planning.finally(judging.stop)));
    }
    const store = await context.storeToChange();
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
          progress = startProgress(context, 'replaying dead letters');
        },
      });
    } finally {
      progress.stop();
      interrupt.dispose();
    }
    await context.print(resultReport(result));
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

const JUDGING = 'judging dead letters';

/** Fields that are no strings; all others are set to the text as it is. */
const JSON_FIELDS: Record<string, { schema: z.ZodType; what: string }> = {
  value: { schema: z.custom(isLosslessNumber), what: 'a number' },
  attributes: {
    schema: z.custom(
      (value) =>
        typeof value === 'object' && value !== null && !Array.isArray(value) && !isLosslessNumber(value),
    ),
    what: 'a JSON object that can be kept as it is',
  },
};

/**
 * `field=value`.
 * @throws InfrasageError (exit 2)
 */
function parseChange(text: string): [field: string, value: unknown] {
  const [, field, value = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (field === undefined)
    throw usageError(`--set ${text} is not field=value`, 'such as service_id=checkout-api');
  const kind = Object.hasOwn(JSON_FIELDS, field) ? JSON_FIELDS[field] : undefined;
  if (!kind) return [field, value];
  const parsed = kind.schema.safeParse(exactJson(value));
  if (!parsed.success) throw usageError(`--set ${text}: ${field} must be ${kind.what}`);
  return [field, parsed.data];
}

/** What JSON says, its numbers as they are written; undefined where a line may not say it, or a part would be lost. */
function exactJson(text: string): unknown {
  if (!readJson(Buffer.from(text)).valid) return undefined;
  try {
    const value = parse(text);
    const kept = JSON.stringify(JSON.parse(stringify(value) ?? ''));
    return kept === JSON.stringify(JSON.parse(text)) ? value : undefined;
  } catch {
    // A key that is repeated with another value.
    return undefined;
  }
}

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

function planReport(plan: ReplayPlan): Report {
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
    },
    rows,
    columns: BILL_COLUMNS,
    notes: [
      `${plural(selected, 'open dead letter')} = ${formatCount(passing)} that would count + ${formatCount(selected - passing)} that stay; nothing was changed (dry run)`,
      ...stayingLines(plan),
    ],
  };
}

function resultReport(result: ReplayResult): Report {
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
    },
    rows,
    columns: [...BILL_COLUMNS, { key: 'bytes', title: 'Stored', kind: 'bytes' }],
    notes: [
      `${plural(plan.selected, 'open dead letter')} = ${formatCount(accepted)} replayed + ${formatCount(rejected)} rejected again + ${formatCount(plan.selected - plan.passing)} that stay${left > 0n ? ` + ${formatCount(left)} left` : ''}`,
      ...(accepted > 0n
        ? [
            `${formatBytes(bytesReceived)} sent, ${formatBytes(bytesIngested)} stored; see them: infrasage dlq list --state replayed`,
          ]
        : []),
      ...(rejected > 0n
        ? [`${plural(rejected, 'letter')} rejected again: each is replaced by a new one`]
        : []),
      ...stayingLines(plan),
    ],
  };
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
