import type { Command } from 'commander';
import { closeMonth, reopenMonth } from '../billing/close.ts';
import { type ClosingRecord, readClosings, type Totals } from '../billing/closings.ts';
import type { Context } from '../context.ts';
import { usageError } from '../errors.ts';
import { isoTime, parseMonth } from '../period.ts';
import type { Column, Row } from '../render/report.ts';
import { formatBytes, plural } from '../render/text.ts';
import type { Act } from './command.ts';
import { startProgress } from './progress.ts';

/** `billing close`, `billing reopen` and `billing history`. */
export function configure(command: Command, act: Act): void {
  const close = command
    .command('close <month>')
    .description(
      'Lock the bill of a month that is over: what comes later for it is billed with the next one.',
    )
    .option('--override <reason>', 'close it whatever stands against it; the reason is kept');
  act<{ override?: string }, [string]>(close, async (context, { override }, month) => {
    refuseOfParent(command, close);
    if (override?.trim() === '')
      throw usageError('--override needs the reason', 'it is kept in billing history');
    const of = parseMonth(month, context.now, 'the month');
    const store = await context.storeToChange();
    const progress = startProgress(context, 'comparing');
    const { closing, already } = await closeMonth(store, of, {
      override,
      now: context.io.now,
      onStep: ({ name, index, of: all }) => progress.update({ at: `${name}, ${index + 1} of ${all}` }),
    }).finally(() => progress.stop());
    return print(context, closing, {
      data: { already },
      notes: already
        ? [
            `Nothing to do: ${closing.month} was closed at ${isoTime(closing.at)} by ${closing.user} on ${closing.host}.`,
          ]
        : [
            `Closed ${closing.month}: ${billed(closing.after)}. What comes later for it is billed with the next month.`,
            ...closing.overridden.map((what) => `Overridden: ${what}.`),
          ],
    });
  });

  const reopen = command
    .command('reopen <month>')
    .description('Open the last closed month again: its bill is that of the figures there are.')
    .option('--reason <text>', 'why; it is kept');
  act<{ reason?: string }, [string]>(reopen, async (context, { reason }, month) => {
    refuseOfParent(command, reopen);
    if (!reason?.trim()) throw usageError('reopen needs the reason, which is kept', 'give --reason "…"');
    const of = parseMonth(month, context.now, 'the month');
    const record = await reopenMonth(await context.storeToChange(), of, { reason, now: context.io.now });
    return print(context, record, {
      data: {},
      notes: [
        `Opened ${record.month} again: billed were ${billed(record.before)}; now there are ${billed(record.after)}.`,
      ],
    });
  });

  const history = command
    .command('history')
    .description(
      'Every closing and reopening, latest first: who, when, why, and the totals before and after.',
    );
  act(history, async (context) => {
    refuseOfParent(command, history);
    const { log, months } = await readClosings(await context.store());
    const latest = [...log].reverse();
    return context.print({
      data: { closed_months: months, history: latest.map(recordJson) },
      rows: latest.map(row),
      columns: COLUMNS,
      tableColumns: COLUMNS.filter(({ key }) => SHOWN.includes(key)),
      wrap: true,
      notes: log.length === 0 ? ['No month was ever closed.'] : [`Closed: ${months.join(', ') || 'none'}`],
    });
  });
}

/** The command above has options too, and takes what comes before the name of this one. */
function refuseOfParent(parent: Command, command: Command): void {
  if (command.optsWithGlobals().tenant !== undefined) {
    throw usageError(
      `billing ${command.name()} takes no --tenant`,
      'a month is closed for all tenants at once; leave it out',
    );
  }
  const [other] = Object.keys(parent.opts());
  if (other === undefined) return;
  throw usageError(
    `billing ${command.name()} does not take the options of billing: --${other}`,
    `infrasage billing ${command.name()} --help`,
  );
}

function billed({ events, bytesIngested }: Totals): string {
  return `${plural(events, 'event')}, ${formatBytes(bytesIngested)} stored`;
}

function print(
  context: Context,
  record: ClosingRecord,
  { data, notes }: { data: Row; notes: string[] },
): ReturnType<Context['print']> {
  return context.print({
    data: { ...recordJson(record), ...data },
    rows: [row(record)],
    columns: COLUMNS,
    tableColumns: COLUMNS.filter(({ key }) => SHOWN.includes(key)),
    wrap: true,
    notes,
  });
}

function recordJson({ before, after, ...record }: ClosingRecord) {
  return {
    month: record.month,
    action: record.action,
    at: isoTime(record.at),
    user: record.user,
    host: record.host,
    reason: record.reason || null,
    overridden: record.overridden,
    before: totalsJson(before),
    after: totalsJson(after),
  };
}

function totalsJson({ events, bytesIngested, bytesReceived }: Totals) {
  return { events, bytes_ingested: bytesIngested, bytes_received: bytesReceived };
}

function row(record: ClosingRecord): Row {
  const { before, after, overridden, ...json } = recordJson(record);
  return {
    ...json,
    overridden: overridden.join('; '),
    ...{ events_before: before.events, events: after.events },
    ...{ bytes_ingested_before: before.bytes_ingested, bytes_ingested: after.bytes_ingested },
    ...{ bytes_received_before: before.bytes_received, bytes_received: after.bytes_received },
  };
}

const COLUMNS: Column[] = [
  { key: 'at', title: 'At', kind: 'text', whole: true },
  { key: 'action', title: 'What', kind: 'text', whole: true },
  { key: 'month', title: 'Month', kind: 'text', whole: true },
  { key: 'user', title: 'User', kind: 'text' },
  { key: 'host', title: 'Host', kind: 'text' },
  { key: 'reason', title: 'Reason', kind: 'text' },
  { key: 'overridden', title: 'Overridden', kind: 'text' },
  { key: 'events_before', title: 'Events', kind: 'count' },
  { key: 'events', title: 'become', kind: 'count' },
  { key: 'bytes_ingested_before', title: 'Bytes', kind: 'bytes' },
  { key: 'bytes_ingested', title: 'become', kind: 'bytes' },
  { key: 'bytes_received_before', title: 'Received', kind: 'bytes' },
  { key: 'bytes_received', title: 'become', kind: 'bytes' },
];
const SHOWN = ['at', 'action', 'month', 'user', 'reason', 'events_before', 'events'];
