import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { isSafeNumber, parse } from 'lossless-json';
import type { Context } from '../context.ts';
import { EXIT, InfrasageError } from '../errors.ts';
import { packageFile } from '../package.ts';
import { type Live, live, liveFromJson, type Order } from '../reports/live.ts';
import { type Holder, holderOf } from '../store/lock.ts';
import type { Store } from '../store/store.ts';

const BIN = fileURLToPath(packageFile('bin/infrasage.js'));

/** One look after the other at the same data. */
export interface Looks {
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
export function looksOf(context: Context, stop: AbortSignal): Looks {
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
