import type { Context } from '../context.ts';
import { EXIT, InfrasageError, usageError } from '../errors.ts';
import { write } from '../io.ts';
import type { Report } from '../render/report.ts';
import { drawScreen } from '../render/screen.ts';
import {
  type Live,
  live,
  liveJson,
  ORDERS,
  type Order,
  perSecond,
  type Rate,
  WINDOW_SECONDS,
} from '../reports/live.ts';
import { type CommandModule, examples, oneOf } from './command.ts';
import { onInterrupt } from './interrupt.ts';
import { type FullScreen, fullScreen } from './terminal.ts';
import { looksOf } from './top-looks.ts';
import { screenOf, waiting } from './top-screen.ts';

const KEYS = 'q quit   e by events   b by bytes   n by name';
const RUNNING = `${KEYS}   p pause   space now`;
const PAUSED = `paused   ${KEYS}   p go on   space now`;

export const configure: CommandModule['configure'] = (command, act) => {
  command
    .option('--interval <span>', 'how often it is looked anew: 500ms to 1h', '2s')
    .addOption(oneOf('--sort <order>', 'what the rows are sorted by', ORDERS).default('events'))
    .option('--once', 'look once and print that; so it does where there is no terminal');
  examples(command, [
    'infrasage top',
    'infrasage top --interval 5s --tenant acme-corp',
    'infrasage top --once --json',
  ]);
  act<{ interval: string; sort: string; once?: boolean }>(command, async (context, options) => {
    const interval = parseInterval(options.interval);
    const order = ORDERS.find((name) => name === options.sort);
    if (!order) throw usageError(`--sort ${options.sort} is not an order`, `use one of ${ORDERS.join(', ')}`);
    const { config, io } = context;
    const watched = io.stdout.isTTY === true && io.env.TERM !== 'dumb' && config.format === 'table';
    if (options.once || !watched) return printOnce(context, order);
    return watch(context, { interval, order });
  });
};

/** Milliseconds. @throws InfrasageError (exit 2) */
function parseInterval(given: string): number {
  const [, number, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(given) ?? [];
  const ms = Number(number) * ({ ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit] ?? Number.NaN);
  if (!(ms >= 500 && ms <= 3_600_000))
    throw usageError(`--interval ${given} is not a time from 500ms to 1h`, 'write it like 2s or 500ms');
  return ms;
}

async function printOnce(context: Context, order: Order) {
  const { config, io } = context;
  const tenantId = config.tenant ?? null;
  const found = await live(await context.glance(), { tenantId, now: io.now(), order });
  if (config.format !== 'table') return context.print(liveReport(found));
  const { columns: width = 80 } = io.stdout;
  const lines = drawScreen(screenOf(found, { order, foot: '' }), { ...config, width });
  await write(io.stdout, `${lines.join('\n')}\n`);
  return EXIT.ok;
}

/** Looks again and again until it is told to end. */
async function watch(context: Context, { interval, order: first }: { interval: number; order: Order }) {
  const { config, io } = context;
  const ended = new AbortController();
  const looks = looksOf(context, ended.signal);
  let screen: FullScreen | undefined;
  let order = first;
  let paused = false;
  /** Whether a key has asked for another look. */
  let asked = false;
  let found: Live | undefined;
  let warning: string | undefined;
  let wake = () => {};
  const end = () => {
    ended.abort();
    // At once, also where a look is under way that takes long: a second signal ends the process as it is.
    screen?.leave();
    wake();
  };
  const draw = () => {
    if (!screen) return;
    const words = {
      order,
      foot: paused ? PAUSED : RUNNING,
      ...(warning !== undefined && { warning }),
    };
    const shown = found ? screenOf(found, words) : waiting(words);
    screen.show(drawScreen(shown, { ...config, width: screen.width(), height: screen.height() }));
  };
  const look = async () => {
    try {
      found = await looks.take(order);
      warning = undefined;
    } catch (error) {
      if (ended.signal.aborted) return;
      const holder = looks.holder();
      // What keeps it from looking may pass once it has looked; before that, only that another has the data.
      if (!(error instanceof InfrasageError) || !(found || holder)) throw error;
      warning = holder
        ? `waiting: infrasage ${holder.command} (process ${holder.pid}) has the data for itself`
        : [error.message, error.hint].filter(Boolean).join('; ');
    }
  };
  const key = (pressed: string) => {
    if (QUIT.includes(pressed)) return end();
    if (pressed === 'p') paused = !paused;
    order = ORDERS_BY_KEY[pressed] ?? order;
    asked ||= pressed === ' ' || pressed in ORDERS_BY_KEY || (pressed === 'p' && !paused);
    draw();
    if (asked) wake();
  };
  /** Until it is time for another look. */
  const pause = () =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(() => !paused && resolve(), interval);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (asked || ended.signal.aborted) wake();
    });
  const interrupt = onInterrupt(async () => end());
  try {
    await look();
    if (!ended.signal.aborted) screen = fullScreen(io, { key, resized: draw });
    while (!ended.signal.aborted) {
      draw();
      await pause();
      asked = false;
      if (!ended.signal.aborted) await look();
    }
    return EXIT.ok;
  } finally {
    screen?.leave();
    interrupt.dispose();
    await looks.close();
  }
}

/** Also Ctrl-C and Ctrl-D, which are keys like any others while the screen is taken. */
const QUIT = ['q', '\u0003', '\u0004'];
const ORDERS_BY_KEY: Record<string, Order> = { e: 'events', b: 'bytes', n: 'name' };

/** A look as rows, for programs. */
function liveReport(found: Live): Report {
  const rows = (by: string, rates: readonly Rate[]) =>
    rates.map((rate) => ({
      by,
      tenant_id: rate.tenant_id ?? (by === 'tenant_id' ? rate.name : found.tenantId),
      name: rate.name,
      events: rate.events,
      events_per_second: perSecond(rate.events),
      bytes_received: rate.bytes,
      bytes_per_second: perSecond(rate.bytes),
    }));
  return {
    data: liveJson(found),
    rows: [
      ...rows('tenant_id', found.tenants),
      ...rows('event_type', found.types),
      ...rows('service_id', found.services),
    ],
    columns: [
      { key: 'by', title: 'By', kind: 'text' },
      { key: 'tenant_id', title: 'Tenant', kind: 'text' },
      { key: 'name', title: 'Name', kind: 'text' },
      { key: 'events', title: `Events in ${WINDOW_SECONDS} s`, kind: 'count' },
      { key: 'events_per_second', title: 'Events/s', kind: 'number' },
      { key: 'bytes_received', title: 'Sent', kind: 'bytes' },
      { key: 'bytes_per_second', title: 'Sent/s', kind: 'number' },
    ],
  };
}
