import { Argument } from 'commander';
import type { Context } from '../context.ts';
import { EXIT, type ExitStatus, usageError } from '../errors.ts';
import { write } from '../io.ts';
import { isoTime, parsePeriod } from '../period.ts';
import { formatBytes, formatCount, plural } from '../render/text.ts';
import { type Extracted, extractTo } from '../reports/extract-file.ts';
import { SUBJECTS, type Subject, type Wanted } from '../reports/extracts.ts';
import { namelessFile } from '../store/extract.ts';
import { FILE_FORMATS, type FileFormat, type Store } from '../store/store.ts';
import { rawKeptSince } from '../verify/retention.ts';
import { type CommandModule, examples } from './command.ts';
import { fillFile, outputFile, refuseTerminal } from './output-file.ts';
import { startProgress } from './progress.ts';
import { sayIfUnknown } from './unknown-tenant.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  const what = new Argument('<what>', 'metered hours by tenant and type, events, or dead letters');
  what.argChoices = [...SUBJECTS];
  command
    .description(
      `${command.description()} Counted when it is written: as many rows as the reports say, or no file. A CSV cell that a spreadsheet would run as a formula has a ' before it; Parquet and NDJSON are exact.`,
    )
    .addArgument(what)
    .option('--to <file>', 'the file, by its ending .parquet, .csv or .ndjson; - for standard output')
    .option('--since <time>', 'start: a span (90m, 24h, 7d, 2w), a date, or RFC 3339', '24h')
    .option('--until <time>', 'end, not included: as --since, or now; without it, there is none')
    .option('--force', 'replace a file that is there');
  examples(command, [
    'infrasage export usage --since 2026-10-01 --until 2026-11-01 --to usage.parquet',
    'infrasage export firehose --since 24h --tenant acme-corp --to events.ndjson',
    'infrasage export dlq --since 7d --to letters.csv',
    'infrasage export usage --since 7d --to - --format csv > usage.csv',
  ]);
  act<ExportOptions, [string]>(command, async (context, { to, since, until, force = false }, name) => {
    const subject = SUBJECTS.find((one) => one === name);
    if (!subject) throw usageError(`there is no ${name} to export`, `use one of ${SUBJECTS.join(', ')}`);
    if (to === undefined) {
      throw usageError('export needs the file', `infrasage export ${subject} --since ${since} --to FILE`);
    }
    const format = to === '-' ? printedFormat(context) : formatOf(to);
    const wanted = {
      tenantId: context.config.tenant ?? null,
      period: parsePeriod(since, until, context.now),
    };
    if (to === '-') {
      refuseTerminal(
        context.io,
        'rows as they were sent are',
        `name a file: --to ${subject}.${format}; or pipe them`,
      );
    }
    const output = to === '-' ? undefined : await outputFile(to, { force });
    const store = await context.store();
    const job = { subject, wanted, format };
    if (!output) {
      const found = await print(context, store, job);
      await context.say(words(found, job));
      return told(context, store, found, job);
    }
    const found = await withProgress(context, async (onBytes) => {
      let written: Extracted | undefined;
      await fillFile(output, async (file) => {
        written = await extractTo(file, store, { ...job, onBytes });
      });
      return written as Extracted;
    });
    await context.print(report(context, found, { ...job, file: to }));
    return told(context, store, found, job);
  });
};

interface ExportOptions {
  to?: string;
  since: string;
  until?: string;
  force?: boolean;
}

interface Job {
  subject: Subject;
  wanted: Wanted;
  format: FileFormat;
}

/** @throws InfrasageError (exit 2) */
function formatOf(file: string): FileFormat {
  const ending = /\.(\w+)$/.exec(file)?.[1]?.toLowerCase();
  const format = ending === 'jsonl' ? 'ndjson' : FILE_FORMATS.find((one) => one === ending);
  if (!format) throw usageError(`${file} does not say in which form`, 'end it in .parquet, .csv or .ndjson');
  return format;
}

/** @throws InfrasageError (exit 2) */
function printedFormat({ config }: Context): FileFormat {
  const { format } = config;
  if (format === 'csv' || format === 'ndjson') return format;
  throw usageError('on standard output rows are CSV or NDJSON', 'give --format csv or --format ndjson');
}

async function withProgress<T>(
  context: Context,
  work: (onBytes: (bytes: number) => void) => Promise<T>,
): Promise<T> {
  const progress = startProgress(context, 'exporting');
  try {
    return await work((bytes) => progress.update({ bytes }));
  } finally {
    progress.stop();
  }
}

/** Through a file without a name, so that nothing is printed that was not counted. */
async function print(context: Context, store: Store, job: Job): Promise<Extracted> {
  const file = await namelessFile(store.spoolDir);
  try {
    const found = await withProgress(context, (onBytes) => extractTo(file, store, { ...job, onBytes }));
    const { stdout } = context.io;
    for await (const piece of file.createReadStream({ start: 0, autoClose: false })) {
      // Who reads it has gone away.
      if (stdout.destroyed) break;
      await write(stdout, piece as Buffer);
    }
    return found;
  } finally {
    await file.close();
  }
}

/** What is to be said of a file beside its rows; a finding where events are missing that nothing has removed. */
async function told(
  context: Context,
  store: Store,
  { rows, metered }: Extracted,
  { subject, wanted: { tenantId } }: Job,
): Promise<ExitStatus> {
  await sayIfUnknown(context, { store, tenantId, events: metered?.events ?? rows });
  if (subject !== 'firehose' || !metered || metered.events === rows) return EXIT.ok;
  const differ = `usage counts ${plural(metered.events, 'event')} of these hours, and the firehose has ${formatCount(rows)}`;
  if ((await rawKeptSince(store)) !== null) {
    await context.say(`${differ}: raw events are removed after their term`);
    return EXIT.ok;
  }
  await context.say(`${differ}: infrasage verify says why`);
  return EXIT.finding;
}

const ROWS: Record<Subject, string> = { usage: 'metered hour', firehose: 'event', dlq: 'dead letter' };

function words(
  { rows, metered, fileBytes }: Extracted,
  { subject, wanted: { tenantId, period } }: Job,
): string {
  const end = period.open ? '' : ` to ${isoTime(period.end)}`;
  const sums =
    subject === 'usage' && metered
      ? ` (${plural(metered.events, 'event')}, ${formatBytes(metered.bytes)} stored)`
      : '';
  return `${plural(rows, ROWS[subject])}${sums} of ${tenantId ?? 'all tenants'} since ${isoTime(period.start)}${end}, ${formatBytes(fileBytes)}`;
}

function report(
  { config }: Context,
  found: Extracted,
  { file, ...job }: Job & { file: string },
): Parameters<Context['print']>[0] {
  const { subject, format, wanted } = job;
  const { rows, metered, fileBytes } = found;
  const cells = {
    what: subject,
    file,
    file_format: format,
    tenant_id: wanted.tenantId,
    rows,
    total_events: metered?.events ?? null,
    total_bytes: metered?.bytes ?? null,
    file_bytes: fileBytes,
  };
  const { start, end } = wanted.period;
  return {
    data: { ...cells, period: { start: isoTime(start), end: isoTime(end) } },
    rows: config.format === 'table' ? [] : [cells],
    columns: [
      { key: 'what', title: 'What', kind: 'text' },
      { key: 'file', title: 'File', kind: 'text', whole: true },
      { key: 'file_format', title: 'Format', kind: 'text' },
      { key: 'tenant_id', title: 'Tenant', kind: 'text' },
      { key: 'rows', title: 'Rows', kind: 'count' },
      { key: 'total_events', title: 'Events', kind: 'count' },
      { key: 'total_bytes', title: 'Stored bytes', kind: 'bytes' },
      { key: 'file_bytes', title: 'Size', kind: 'bytes' },
    ],
    notes: [`Written to ${file}: ${words(found, job)}`],
  };
}
