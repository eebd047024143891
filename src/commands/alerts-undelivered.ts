import type { Command } from 'commander';
import { shownTarget } from '../alerts/history.ts';
import { firingJson, headline } from '../alerts/message.ts';
import { deliver } from '../alerts/outbox.ts';
import { drop, stateOf, type Undelivered, undelivered } from '../alerts/undelivered.ts';
import type { Context } from '../context.ts';
import { EXIT, InfrasageError, usageError } from '../errors.ts';
import { isoTime } from '../period.ts';
import type { Column } from '../render/report.ts';
import { plural } from '../render/text.ts';
import { ATTEMPT_COLUMNS, attemptCells } from './alerts-check.ts';
import { type Act, examples } from './command.ts';

/** `alerts undelivered`, `alerts retry` and `alerts drop`. */
export function configure(command: Command, act: Act): void {
  const list = command
    .command('undelivered')
    .description(
      'Messages that have not arrived: those that are tried again, and those given up after 72 hours; of the last nine days. Exit 1 where there are any.',
    )
    .option('--dropped', 'those that were dropped, too');
  examples(list, ['infrasage alerts undelivered', 'infrasage alerts undelivered --dropped --json']);
  act<{ dropped?: boolean }>(list, async (context, { dropped = false }) => {
    const all = await messages(context);
    const shown = all.filter(({ state }) => dropped || state !== 'dropped');
    const open = all.filter(({ state }) => state !== 'dropped');
    await context.print({
      data: { messages: shown.map(messageJson) },
      rows: shown.map(messageCells),
      columns: MESSAGE_COLUMNS,
      wrap: true,
      notes:
        open.length === 0
          ? ['Every message has arrived or was dropped.']
          : [
              `Send one again now: ${context.commandLine('alerts retry ID', { tenant: false })}`,
              `It need not arrive: ${context.commandLine('alerts drop ID --reason TEXT', { tenant: false })}`,
            ],
    });
    return open.length > 0 ? EXIT.finding : EXIT.ok;
  });

  const retry = command
    .command('retry [ids...]')
    .description(
      'Send undelivered messages now, by their ids: also those given up or dropped, and without waiting for their next attempt. Exit 1 where one is not delivered.',
    )
    .option('--all', 'every one that was not dropped');
  examples(retry, [
    'infrasage alerts retry 0c2c54f1b7a04b1f9a52d3a4e3a1c2b7',
    'infrasage alerts retry --all',
  ]);
  act<{ all?: boolean }, [string[]]>(retry, async (context, { all = false }, ids) => {
    assertChosen(ids, { all, command: 'retry' });
    const store = await context.storeToChange();
    const chosen = choose(await messages(context), ids);
    const deps = { ...(await context.alertDeps()), byHand: true };
    const { attempts } = await deliver(store, chosen, deps);
    const arrived = attempts.filter(({ outcome }) => outcome === 'delivered').length;
    const elsewhere = chosen.length - attempts.length;
    await context.print({
      data: { deliveries: attempts.map(attemptCells) },
      rows: attempts.map(attemptCells),
      columns: ATTEMPT_COLUMNS,
      wrap: true,
      notes: [
        `${arrived} of ${plural(chosen.length, 'message')} delivered.`,
        ...(elsewhere > 0
          ? [`${plural(elsewhere, 'message is', 'messages are')} being sent elsewhere.`]
          : []),
      ],
    });
    return attempts.some(({ outcome }) => outcome !== 'delivered') ? EXIT.finding : EXIT.ok;
  });

  const dropping = command
    .command('drop [ids...]')
    .description(
      'End the attempts at undelivered messages, by their ids: they are not sent by themselves any more. The history keeps that and why; alerts retry can still send them.',
    )
    .option('--all', 'every one there is')
    .requiredOption('--reason <text>', 'why it need not arrive; kept in the history');
  examples(dropping, [
    'infrasage alerts drop 0c2c54f1b7a04b1f9a52d3a4e3a1c2b7 --reason "told by telephone"',
    'infrasage alerts drop --all --reason "the address is gone"',
  ]);
  act<{ all?: boolean; reason: string }, [string[]]>(
    dropping,
    async (context, { all = false, reason }, ids) => {
      assertChosen(ids, { all, command: 'drop' });
      if (reason.trim() === '') throw usageError('--reason must not be empty');
      const store = await context.storeToChange();
      const now = context.io.now();
      const chosen = choose(await messages(context), ids);
      const dropped: Listed[] = [];
      for (const message of chosen) if (await drop(store, message, { reason, now })) dropped.push(message);
      const left = chosen.length - dropped.length;
      const rows = dropped.map((message) => ({ ...placeCells(message), reason }));
      await context.print({
        data: { dropped: rows },
        rows,
        columns: [...PLACE_COLUMNS, { key: 'reason', title: 'Reason', kind: 'text' }],
        wrap: true,
        notes: [
          `${plural(dropped.length, 'message is', 'messages are')} dropped.`,
          ...(left > 0
            ? [`${plural(left, 'message is', 'messages are')} being sent just now, or arrived meanwhile.`]
            : []),
        ],
      });
      return left > 0 ? EXIT.finding : EXIT.ok;
    },
  );
}

type Listed = Undelivered & { state: ReturnType<typeof stateOf> };

/** Latest first; of the tenant of the run, or of all. */
async function messages(context: Context): Promise<Listed[]> {
  const now = context.io.now();
  const found = await undelivered(await context.store(), { now, tenantId: context.config.tenant ?? null });
  return found.map((message) => ({ ...message, state: stateOf(message, now) }));
}

/** @throws InfrasageError (exit 2) */
function assertChosen(ids: readonly string[], { all, command }: { all: boolean; command: string }): void {
  if (all !== ids.length > 0) return;
  throw all
    ? usageError('--all goes with no ids', `infrasage alerts ${command} --all`)
    : usageError('which messages? give their ids, or --all', 'see infrasage alerts undelivered');
}

/** Those with the ids, each once; without ids, all that are not dropped. @throws InfrasageError (exit 2) where one is not there */
function choose(all: readonly Listed[], ids: readonly string[]): Listed[] {
  if (ids.length === 0) return all.filter(({ state }) => state !== 'dropped');
  return [...new Set(ids)].map((id) => {
    const found = all.find(({ digest }) => digest.id === id);
    if (found) return found;
    throw new InfrasageError(`there is no undelivered message ${id}`, {
      hint: 'see infrasage alerts undelivered, and infrasage alerts history for those that have arrived',
      exitStatus: EXIT.usage,
    });
  });
}

function placeCells({ channel, target, digest }: Undelivered) {
  return { message_id: digest.id, channel, target: shownTarget(channel, target) };
}

function messageJson({ digest, ...message }: Listed) {
  const { last } = message;
  return {
    ...placeCells({ digest, ...message }),
    state: message.state,
    fired_at: isoTime(message.firedAt),
    attempts: last?.attempt ?? 0,
    last_attempt_at: last ? isoTime(last.startedAt) : null,
    detail: last?.detail ?? '',
    next_attempt_at: message.state === 'waiting' && last ? isoTime(last.nextAt) : null,
    alerts: digest.firings.map(firingJson),
  };
}

function messageCells(message: Listed) {
  const { alerts, ...cells } = messageJson(message);
  const [first] = message.digest.firings;
  const more = alerts.length > 1 ? ` and ${alerts.length - 1} more` : '';
  return { ...cells, alert: `${first ? headline(first) : ''}${more}` };
}

const PLACE_COLUMNS: readonly Column[] = [
  { key: 'message_id', title: 'Id', kind: 'text', whole: true },
  { key: 'channel', title: 'Channel', kind: 'text' },
  { key: 'target', title: 'To', kind: 'text' },
];

const MESSAGE_COLUMNS: readonly Column[] = [
  ...PLACE_COLUMNS,
  { key: 'alert', title: 'Alert', kind: 'text' },
  { key: 'state', title: 'Is', kind: 'text', whole: true },
  { key: 'fired_at', title: 'Fired at', kind: 'text', whole: true },
  { key: 'attempts', title: 'Attempts', kind: 'count' },
  { key: 'detail', title: 'What was said last', kind: 'text' },
  { key: 'next_attempt_at', title: 'Next attempt', kind: 'text', whole: true },
];
