import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { isSafeNumber, parse } from 'lossless-json';
import type { Context } from '../context.ts';
import { EXIT, InfrasageError, usageError } from '../errors.ts';
import { write } from '../io.ts';
import { monthOf } from '../period.ts';
import type { Report } from '../render/report.ts';
import { drawScreen, type Screen } from '../render/screen.ts';
import { formatBytes, formatCount } from '../render/text.ts';
import {
  type Live,
  live,
  liveFromJson,
  liveJson,
  MOST_ROWS,
  ORDERS,
  type Order,
  perSecond,
  type Rate,
  WINDOW_SECONDS,
} from '../reports/live.ts';
import { type Holder, holderOf } from '../store/lock.ts';
import type { Store } from '../store/store.ts';
import { limitsChart } from './charts.ts';
import { type CommandModule, examples, oneOf } from './command.ts';
import { onInterrupt } from './interrupt.ts';
import { type FullScreen, fullScreen } from './terminal.ts';

const BIN = fileURLToPath(new URL('../../bin/infrasage.js', import.meta.url));
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

/** One look after the other at the same data. */
interface Looks {
  take(order: Order): Promise<Live>;
  /** The process that has the data for itself, if there is one. */
  holder(): Holder | undefined;
  close(): Promise<void>;
}

/**
 * On a server, or through a process that shares the data directory, a look is a few queries. Where nobody shares it, it
 * is a process of its own, which has the directory for a fraction of a second: the engine does not give back all of
 * its memory when it is closed, and whoever else wants the directory waits no longer than that.
 */
function looksOf(context: Context, stop: AbortSignal): Looks {
  const { config, io } = context;
  const tenantId = config.tenant ?? null;
  let shared: Store | undefined;
  const through = (store: Store, order: Order) => live(store, { tenantId, now: io.now(), order });
  return {
    async take(order) {
      if (config.clickhouse) return through(await context.glance(), order);
      try {
        shared ??= await context.sharedStore();
        if (shared) return await through(shared, order);
      } catch (error) {
        await shared?.close();
        shared = undefined;
        throw error;
      }
      return lookApart(context, order, stop);
    },
    holder: () => (config.clickhouse ? undefined : holderOf(config.dataDir)),
    close: async () => shared?.close(),
  };
}

/** @throws InfrasageError (exit 3) with what the process said */
async function lookApart({ config, flags }: Context, order: Order, stop: AbortSignal): Promise<Live> {
  const { dataDir, database, tenant } = config;
  const args = [
    ...['--data-dir', dataDir, '--database', database, '--json'],
    ...(tenant === undefined ? [] : [`--tenant=${tenant}`]),
    ...(flags.config === undefined ? [] : [`--config=${flags.config}`]),
    ...['top', '--once', '--sort', order],
  ];
  const child = spawn(process.execPath, [BIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: stop,
    env: { ...process.env, NO_COLOR: '1', INFRASAGE_CLICKHOUSE_URL: '' },
  });
  const status = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const [ended, printed, said] = await Promise.all([status, text(child.stdout), text(child.stderr)]);
  if (ended !== EXIT.ok) {
    throw new InfrasageError(said.trim().replace(/^infrasage: /, '') || 'the data could not be looked at');
  }
  return liveFromJson.parse(parse(printed, null, exact));
}

function exact(digits: string): number | bigint {
  return isSafeNumber(digits) || /[.eE]/.test(digits) ? Number(digits) : BigInt(digits);
}

interface Words {
  order: Order;
  foot: string;
  warning?: string;
}

function waiting({ foot, warning }: Words): Screen {
  return { head: [['infrasage top'], ['waiting']], course: [], rows: [], foot, ...(warning && { warning }) };
}

function screenOf(found: Live, { order, foot, warning }: Words): Screen {
  const { tenantId, at, events, bytes, course, letters, limits, limitsInAll } = found;
  const lost = letters.reduce((sum, { lines }) => sum + lines, 0n);
  const [gauges] = limitsChart(limits, monthOf(at));
  const block = gauges ?? {
    kind: 'gauges' as const,
    title: `Quotas of ${monthOf(at).name}`,
    gauges: [],
  };
  const rates = (title: string, rows: readonly Rate[]) => ({
    kind: 'table' as const,
    title,
    figures: ['events/s', 'sent/s'],
    rows: rows.map((rate) => ({
      name: rate.tenant_id === undefined ? rate.name : `${rate.name} (${rate.tenant_id})`,
      figures: [rateWords(rate.events), `${formatBytes(Number(rate.bytes) / WINDOW_SECONDS)}`],
    })),
    cut: rows.length === MOST_ROWS,
    empty: `nothing was stored in the last ${WINDOW_SECONDS} s`,
  });
  return {
    head: [
      [
        `infrasage top: ${tenantId ?? 'all tenants'}`,
        `stored in the last ${WINDOW_SECONDS} s, by ${order}`,
        `${at.toISOString().slice(11, 19)} UTC`,
      ],
      [
        `${rateWords(events)} events/s`,
        `${rateWords(lost)} rejected/s`,
        `${formatBytes(Number(bytes) / WINDOW_SECONDS)}/s sent`,
      ],
    ],
    course,
    rows: [
      [rates('Tenant', found.tenants), rates('Type', found.types)],
      [
        rates('Service', found.services),
        {
          kind: 'table',
          title: 'Dead letters',
          figures: [`last ${WINDOW_SECONDS} s`, 'last 24 h'],
          rows: letters.map(({ error, lines, linesOfDay }) => ({
            name: error,
            figures: [formatCount(lines), formatCount(linesOfDay)],
          })),
          empty: 'none in the last 24 hours',
        },
      ],
      [{ ...block, more: limitsInAll - block.gauges.length }],
    ],
    foot,
    ...(warning !== undefined && { warning }),
  };
}

/** A rate for people: whole from ten on. */
function rateWords(amount: bigint): string {
  const rate = perSecond(amount);
  return rate >= 10 || rate === 0 ? formatCount(Math.round(rate)) : rate.toFixed(1).replace('0.0', '<0.1');
}

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
