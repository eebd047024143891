import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { findAlert, listAlerts, noSuchAlert } from '../alerts/alerts.ts';
import { type CheckResult, checkAlerts } from '../alerts/check.ts';
import { shownTarget } from '../alerts/history.ts';
import { details, firingJson, headline } from '../alerts/message.ts';
import type { Deliveries } from '../alerts/outbox.ts';
import { tryOut } from '../alerts/try-out.ts';
import type { Context } from '../context.ts';
import { EXIT } from '../errors.ts';
import { plural } from '../render/text.ts';
import type { Act } from './command.ts';

/** `alerts check` and `alerts test`. */
export function configure(command: Command, act: Act): void {
  const check = command
    .command('check')
    .description(
      'Evaluate every alert now and send what is due, e.g. from cron every minute. Exit 1 where a message is not delivered.',
    );
  act(check, async (context) => {
    const store = await context.storeToChange();
    const result = await checkAlerts(store, await context.alertDeps());
    await context.print({
      data: {
        fired: result.fired.map(firingJson),
        deliveries: result.attempts.map(attemptCells),
        waiting: result.waiting,
      },
      rows: result.attempts.map(attemptCells),
      columns: ATTEMPT_COLUMNS,
      wrap: true,
      notes: [...firedLines(result), ...waitingLines(result)],
    });
    // Not on standard output: cron would send it by mail each time.
    if (result.fired.length === 0) await context.say('No new alert.');
    return undelivered(result) ? EXIT.finding : EXIT.ok;
  });
  const test = command
    .command('test <id-or-percent>')
    .description('Send a message marked as a test to every channel of an alert. Exit 1 where one fails.');
  act<object, [string]>(test, async (context, _, idOrPercent) => {
    const store = await context.storeToChange();
    const tenantId = context.config.tenant ?? null;
    const alert = findAlert(await listAlerts(store, tenantId), idOrPercent, tenantId ?? '');
    if (!alert) throw noSuchAlert(idOrPercent, { all: await listAlerts(store, null), command: 'test' });
    const deps = await context.alertDeps();
    const result = await tryOut(store, alert, { ...deps, newId: () => randomBytes(8).toString('hex') });
    await context.print({
      data: { deliveries: result.attempts.map(attemptCells) },
      rows: result.attempts.map(attemptCells),
      columns: ATTEMPT_COLUMNS,
      wrap: true,
      notes:
        result.attempts.length === 0
          ? ['The alert has no channel: it is shown in reports, and fires to the terminal and the history.']
          : [],
    });
    return undelivered(result) ? EXIT.finding : EXIT.ok;
  });
}

/**
 * Evaluates the alerts after an ingest and says on standard error what has
 * fired and what could not be sent. Whatever goes wrong with it, what was
 * ingested is ingested.
 */
export async function checkAfterIngest(context: Context): Promise<void> {
  try {
    const deps = { ...(await context.alertDeps()), enough: AbortSignal.timeout(BEGIN_MS) };
    const result = await checkAlerts(await context.unsettledStore(), deps);
    for (const line of [...firedLines(result), ...waitingLines(result)]) await context.say(line);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    await context.say(`the alerts could not be evaluated (${why}): run infrasage alerts check`);
  }
}

/** After an ingest, messages that have not begun to be sent by then are left to the next evaluation. */
const BEGIN_MS = 3_000;

/** What has fired, a line each. */
export function firedLines({ fired }: Pick<CheckResult, 'fired'>): string[] {
  return fired.map((firing) => `Alert: ${headline(firing)}: ${details(firing)}`);
}

/** What could not be sent. */
export function waitingLines({ waiting, attempts }: Deliveries): string[] {
  const failed = attempts.find(({ outcome }) => outcome === 'failed');
  return [
    ...attempts
      .filter(({ outcome }) => outcome === 'expired')
      .map(
        ({ channel, target }) =>
          `Given up after 72 hours: a message by ${channel} ${shownTarget(channel, target)}`,
      ),
    ...(waiting > 0
      ? [
          `${plural(waiting, 'message is', 'messages are')} not delivered${failed ? ` (${failed.channel}: ${failed.detail})` : ''}; infrasage alerts check tries again, infrasage alerts undelivered shows ${waiting === 1 ? 'it' : 'them'}`,
        ]
      : []),
  ];
}

function undelivered({ waiting, attempts }: Deliveries): boolean {
  return waiting > 0 || attempts.some(({ outcome }) => outcome === 'expired');
}

export const ATTEMPT_COLUMNS = [
  { key: 'channel', title: 'Channel', kind: 'text' },
  { key: 'target', title: 'To', kind: 'text' },
  { key: 'attempt', title: 'Attempt', kind: 'count' },
  { key: 'outcome', title: 'Outcome', kind: 'text' },
  { key: 'detail', title: 'What was said', kind: 'text' },
] as const;

export function attemptCells({
  messageId,
  channel,
  target,
  attempt,
  outcome,
  detail,
}: Deliveries['attempts'][number]) {
  return { message_id: messageId, channel, target: shownTarget(channel, target), attempt, outcome, detail };
}
