import type { Context } from '../context.ts';
import { EXIT, usageError } from '../errors.ts';
import { isoTime } from '../period.ts';
import type { Report, Row } from '../render/report.ts';
import { formatCount, plural } from '../render/text.ts';
import type { Store } from '../store/store.ts';
import { planRepairs, type Repair, repairMetering } from '../verify/repair.ts';
import { type Verification, verify } from '../verify/verify.ts';
import { type CommandModule, examples } from './command.ts';
import { startProgress } from './progress.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  command
    .option('--repair', 'make the metering anew from the firehose where they differ')
    .option('--dry-run', 'with --repair: only say what it would change');
  examples(command, ['infrasage verify', 'infrasage verify --repair --dry-run', 'infrasage verify --json']);
  act<{ repair?: boolean; dryRun?: boolean }>(command, async (context, options) => {
    if (options.dryRun && !options.repair)
      throw usageError('--dry-run goes with --repair', 'verify alone changes nothing');
    // A batch holds lines of any tenants, and a rejected one may be of none: its figures hold for all or not at all.
    if (command.optsWithGlobals().tenant !== undefined) {
      throw usageError(
        'verify takes no --tenant',
        'it proves the figures of all tenants at once; leave it out',
      );
    }
    const store = options.repair ? await context.storeToChange() : await context.store();
    if (options.dryRun) {
      const repairs = await planRepairs(store);
      await context.print(repairReport(repairs, true));
      return repairs.length > 0 ? EXIT.finding : EXIT.ok;
    }
    const repairs = options.repair ? await repairMetering(store, context.now) : [];
    const found = await watched(context, store);
    // People see both tables; other formats are one document, which has the repairs in it.
    if (options.repair && context.config.format === 'table')
      await context.print(repairReport(repairs, false));
    await context.print(verificationReport(context, found, repairs));
    return found.checks.some((check) => check.differences > 0n) ? EXIT.finding : EXIT.ok;
  });
};

async function watched(context: Context, store: Store): Promise<Verification> {
  const progress = startProgress(context, 'comparing');
  try {
    return await verify(store, {
      onStep: ({ name, index, of }) => progress.update({ at: `${name}, ${index + 1} of ${of}` }),
    });
  } finally {
    progress.stop();
  }
}

function verificationReport(
  context: Context,
  { checks, differences, foreignRows, pendingBatches, keptSince }: Verification,
  repairs: readonly Repair[],
): Report {
  const total = checks.reduce((sum, check) => sum + check.differences, 0n);
  const data = {
    ok: total === 0n,
    checks,
    differences,
    foreign_rows: foreignRows,
    pending_batches: pendingBatches,
    raw_kept_since: keptSince && isoTime(keptSince),
    repairs: repairs.map(repairCells),
  };
  const notes = [
    ...(foreignRows > 0n
      ? [`${plural(foreignRows, 'row')} in the firehose were written by others, and are metered.`]
      : []),
    ...(pendingBatches > 0n
      ? [`${plural(pendingBatches, 'batch', 'batches')} pending: ${context.commandLine('recover')}`]
      : []),
    ...(keptSince
      ? [`What was ingested before ${isoTime(keptSince)} is past its raw retention, and was not compared.`]
      : []),
  ];
  if (total === 0n) {
    return {
      data,
      rows: checks.map(({ name, compared, rows, groups }) => ({ check: name, compared, groups, rows })),
      columns: [
        { key: 'check', title: 'Check', kind: 'text', whole: true },
        { key: 'compared', title: 'Compared', kind: 'text' },
        { key: 'groups', title: 'Groups', kind: 'count' },
        { key: 'rows', title: 'Rows', kind: 'count' },
      ],
      wrap: true,
      notes: ['Everything agrees.', ...notes],
    };
  }
  return {
    data,
    rows: differences.map((difference) => ({ ...difference })),
    columns: [
      { key: 'check', title: 'Check', kind: 'text', whole: true },
      { key: 'where', title: 'Where', kind: 'text' },
      { key: 'what', title: 'What', kind: 'text' },
      { key: 'expected', title: 'Expected', kind: 'count' },
      { key: 'found', title: 'Found', kind: 'count' },
    ],
    wrap: true,
    title: `${formatCount(total)} figures do not agree`,
    notes: [
      ...(differences.some((difference) => difference.check === 'metering')
        ? [
            `To make the metering anew from the firehose, first with --dry-run: ${context.commandLine('verify --repair')}`,
          ]
        : []),
      ...notes,
    ],
  };
}

function repairReport(repairs: readonly Repair[], dryRun: boolean): Report {
  const rows = repairs.map(repairCells);
  return {
    data: { dry_run: dryRun, repairs: rows },
    rows,
    columns: [
      { key: 'tenant_id', title: 'Tenant', kind: 'text' },
      { key: 'hour', title: 'Hour (UTC)', kind: 'text', whole: true },
      { key: 'event_type', title: 'Type', kind: 'text' },
      { key: 'events_before', title: 'Events', kind: 'count' },
      { key: 'events_after', title: 'become', kind: 'count' },
      { key: 'bytes_before', title: 'Bytes', kind: 'bytes' },
      { key: 'bytes_after', title: 'become', kind: 'bytes' },
    ],
    notes: [
      repairs.length === 0
        ? 'The metering agrees with the firehose: nothing to repair.'
        : dryRun
          ? 'Nothing was changed (dry run).'
          : 'Changed as above; the record is in infrasage_repairs.',
    ],
  };
}

function repairCells(repair: Repair): Row {
  return {
    tenant_id: repair.tenantId,
    hour: isoTime(repair.hour),
    event_type: repair.eventType,
    events_before: repair.eventsBefore,
    events_after: repair.eventsAfter,
    bytes_before: repair.bytesBefore,
    bytes_after: repair.bytesAfter,
  };
}
