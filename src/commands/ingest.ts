import { z } from 'zod';
import type { Context } from '../context.ts';
import { EXIT, InfrasageError, usageError } from '../errors.ts';
import { EVENT_TYPES } from '../ingest/contract.ts';
import { ingest as ingestSources } from '../ingest/ingest.ts';
import { MAX_BUFFER } from '../ingest/input.ts';
import { BATCH_BYTES } from '../ingest/options.ts';
import { fileSource, type Source, stdinSource } from '../ingest/source.ts';
import type { IngestSummary } from '../ingest/summary.ts';
import type { Io } from '../io.ts';
import { parseSpan } from '../period.ts';
import type { Report } from '../render/report.ts';
import { formatBytes, formatCount, plural } from '../render/text.ts';
import { tenantId } from '../settings/table.ts';
import type { Store } from '../store/store.ts';
import { checkAfterIngest } from './alerts-check.ts';
import { type CommandModule, examples, oneOf } from './command.ts';
import { followInputs, followProgress } from './ingest-follow.ts';
import { onInterrupt } from './interrupt.ts';
import { type LateEvents, lateEvents, lateJson, lateNotes, NO_LATE_EVENTS } from './late-events.ts';
import { maxLine } from './max-line.ts';
import { ingestProgress } from './progress.ts';
import { withTemporaryStore } from './temporary.ts';

const optionsSchema = z.object({
  defaultType: z
    .enum(EVENT_TYPES, { error: `--default-type must be one of ${EVENT_TYPES.join(', ')}` })
    .optional(),
  assumeUtc: z.boolean().default(false),
  strict: z.boolean().default(false),
  maxAge: z.string().optional(),
  maxLine: maxLine.default(1024 * 1024),
  batchBytes: z.coerce
    .number({ error: '--batch-bytes must be a number of bytes' })
    .int('--batch-bytes must be a whole number of bytes')
    .max(MAX_BUFFER, `--batch-bytes must be at most ${MAX_BUFFER}`)
    .default(BATCH_BYTES),
  dryRun: z.boolean().default(false),
  allowDuplicates: z.boolean().default(false),
  strictExit: z.boolean().default(false),
  alerts: z.boolean().default(true),
  flushInterval: z.string().optional(),
  follow: z.boolean().default(false),
});

/** How long slow input is held back for more, unless another time is given. */
export const FLUSH_MS = 1000;

export const configure: CommandModule['configure'] = (command, act) => {
  command
    .argument(
      '[files...]',
      'files of one JSON object a line, also gzip or zstd; - or none for standard input',
    )
    .addOption(oneOf('--default-type <type>', 'event type of events without one', EVENT_TYPES))
    .option('--assume-utc', 'also take timestamps without an offset, or with a space for the T')
    .option('--strict', 'demand metric_name and value, or body, by type')
    .option('--max-age <span>', 'reject events older than this, e.g. 24h')
    .option('--max-line <bytes>', 'reject longer lines, default 1048576')
    .option('--dry-run', 'validate and report, write nothing')
    .option('--allow-duplicates', 'ingest again what was ingested before')
    .option('--strict-exit', 'exit 1 where lines were rejected')
    .option(
      '--follow',
      'go on with what is added to the files, under rotation too, or with a stream, until Ctrl-C',
    )
    .option('--no-alerts', 'do not evaluate the alerts afterwards, nor while following')
    .option(
      '--batch-bytes <bytes>',
      'input written at once, default 64000000; less needs less memory and is slower',
    )
    .option('--flush-interval <ms>', `write slow input after this many milliseconds, default ${FLUSH_MS}`);
  examples(command, [
    'infrasage ingest < events.ndjson',
    'infrasage ingest monday.ndjson.gz tuesday.ndjson.zst',
    'infrasage ingest --tenant acme-corp --default-type log app.ndjson',
    'infrasage ingest --dry-run --strict-exit events.ndjson',
    'infrasage ingest --follow /var/log/app/events.ndjson',
  ]);
  act<Record<string, unknown>, [string[]]>(command, async (context, given, files) => {
    const parsed = optionsSchema.safeParse(given);
    if (!parsed.success) throw usageError(parsed.error.issues[0]?.message ?? 'wrong options');
    const options = parsed.data;
    if (options.batchBytes < options.maxLine + 2) {
      throw usageError(
        '--batch-bytes must be more than --max-line',
        'a batch holds at least one line and its ending',
      );
    }
    if (options.follow && options.dryRun) {
      throw usageError('--dry-run does not go with --follow', 'try out a copy of the file');
    }
    const names = inputs(files, context.io.stdin);
    const sources = options.follow ? [] : names.map((name) => sourceOf(name, context.io.stdin));
    const tenant = context.config.tenant === undefined ? null : tenantId.parse(context.config.tenant);
    const settings = {
      tenant,
      defaultType: options.defaultType ?? null,
      strict: options.strict,
      assumeUtc: options.assumeUtc,
      maxAgeSeconds:
        options.maxAge === undefined ? null : Math.round(parseSpan(options.maxAge, '--max-age') / 1000),
      maxLine: options.maxLine,
      batchBytes: options.batchBytes,
      dryRun: options.dryRun,
      allowDuplicates: options.allowDuplicates,
      flushMs: flushInterval(options.flushInterval),
    };
    const progress = options.follow ? followProgress(context) : ingestProgress(context, files);
    const interrupt = onInterrupt(() => {
      // Takes away what the terminal wrote of Ctrl-C too.
      progress.stop();
      return context.say('finishing the batches under way; once more ends at once');
    });
    const { signal: stop } = interrupt;
    let whole = false;
    const run = (store: Store) =>
      ingestSources(sources, settings, {
        store,
        now: context.io.now,
        stop,
        onProgress: progress.update,
        onEnd: () => {
          whole = true;
        },
      });
    const { alerts } = options;
    let summary: IngestSummary;
    try {
      // Validation needs the engine but none of its data: a dry run touches no data directory, and no table.
      if (options.dryRun) summary = await withTemporaryStore(context, run);
      else if (!options.follow) summary = await run(await context.storeToWrite());
      else {
        const { update: onProgress } = progress;
        summary = await followInputs(context, names, settings, { alerts, stop, onProgress });
      }
    } finally {
      progress.stop();
      interrupt.dispose();
    }
    const late = options.dryRun
      ? NO_LATE_EVENTS
      : await lateEvents(await context.unsettledStore(), summary.months);
    // When everything is in, there is nothing left to go on with.
    const interrupted = stop.aborted && !options.follow && !whole;
    await context.print(summaryReport(summary, context, { dryRun: options.dryRun, interrupted, late }));
    if (alerts && !options.dryRun && !interrupted) await checkAfterIngest(context);
    if (interrupted) {
      throw new InfrasageError('interrupted', {
        kept: 'what the summary counts is ingested and safe',
        hint: 'run the same command again to go on where it stopped',
      });
    }
    return options.strictExit && summary.rejected > 0n ? EXIT.finding : EXIT.ok;
  });
};

function inputs(files: readonly string[], stdin: Io['stdin']): readonly string[] {
  const names = files.length === 0 ? ['-'] : files;
  if (names.filter((name) => name === '-').length > 1)
    throw usageError('standard input (-) can be read only once');
  if (files.length === 0 && stdin.isTTY) {
    throw usageError(
      'there is nothing to ingest',
      'name files, or send events on standard input: infrasage ingest < events.ndjson',
    );
  }
  return names;
}

function sourceOf(name: string, stdin: Io['stdin']): Source {
  return name === '-' ? stdinSource(stdin) : fileSource(name);
}

function flushInterval(text: string | undefined): number {
  if (text === undefined) return FLUSH_MS;
  const ms = Number(text);
  if (!Number.isInteger(ms) || ms < 10 || ms > 3_600_000) {
    throw usageError(`--flush-interval ${text} is not a number of milliseconds from 10 to 3600000`);
  }
  return ms;
}

function summaryReport(
  { months: _, ...summary }: IngestSummary,
  context: Context,
  { dryRun, interrupted, late }: { dryRun: boolean; interrupted: boolean; late: LateEvents },
): Report {
  const { lines, accepted, rejected, skipped, bytes_received, bytes_ingested, errors, elapsed_ms } = summary;
  const seconds = elapsed_ms / 1000;
  const rate = seconds > 0 ? `, ${plural(Math.round(Number(lines) / seconds), 'line')}/s` : '';
  const notes = [
    `${plural(lines, 'line')} = ${formatCount(accepted)} accepted + ${formatCount(rejected)} rejected + ${formatCount(skipped)} skipped`,
    dryRun
      ? `${formatBytes(bytes_received)} would be received; nothing was written (dry run)`
      : `${formatBytes(bytes_received)} received, ${formatBytes(bytes_ingested)} stored, in ${seconds.toFixed(1)} s${rate}`,
  ];
  if (lines === 0n && !interrupted) notes.push('there were no events in the input');
  if (skipped > 0n)
    notes.push(`${plural(skipped, 'line')} already ingested before; --allow-duplicates ingests them again`);
  if (rejected > 0n && !dryRun) notes.push(...rejectedNotes(context, Object.keys(errors)));
  notes.push(...lateNotes(late, context));
  return {
    data: { ...summary, ...lateJson(late) },
    rows: Object.entries(errors).map(([error, count]) => ({ error, lines: count })),
    columns: [
      { key: 'error', title: 'Rejected because', kind: 'text' },
      { key: 'lines', title: 'Lines', kind: 'count' },
    ],
    notes,
  };
}

/** The command that shows the rejected lines, and the one for their first reason where there are several. */
function rejectedNotes(context: Context, [first, second]: readonly string[]): string[] {
  // Not of the run's tenant alone: of many rejected lines it is not known.
  const line = (words: string) => context.commandLine(words, { tenant: false });
  return [
    `see the rejected lines: ${line('dlq list')}`,
    ...(second === undefined ? [] : [`only the most frequent: ${line(`dlq list --error ${first}`)}`]),
  ];
}
