import { execFileSync } from 'node:child_process';
import { closeSync, createReadStream, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import type { Sandbox } from './cli.ts';
import { withEngine } from './engine.ts';
import type { Truth } from './events.ts';

const GENERATOR = fileURLToPath(new URL('../../bench/generate.js', import.meta.url));

/** A small fast seeded generator of numbers from 0 to 1. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** The seed of a run: INFRASAGE_SEED, or a new one. */
export function runSeed(): number {
  return Number(process.env.INFRASAGE_SEED ?? Math.floor(Math.random() * 2 ** 31));
}

/** Events spread over several months, 3 % of the lines bad, and what must be counted of them. */
export function monthsOfEvents(folder: string, count: number, seed: number): { path: string; truth: Truth } {
  const path = join(folder, 'months.ndjson');
  const truth = join(folder, 'months.truth.json');
  const out = openSync(path, 'w');
  try {
    const options = [`--count=${count}`, '--bad=0.03', '--days=100', `--seed=${seed}`, `--truth=${truth}`];
    execFileSync(process.execPath, [GENERATOR, ...options], { stdio: ['ignore', out, 'inherit'] });
  } finally {
    closeSync(out);
  }
  return { path, truth: JSON.parse(readFileSync(truth, 'utf8')) as Truth };
}

/** When a process is killed, counted from when it has the data directory, in the time that it took to get there. */
export interface KillWindow {
  from: number;
  to: number;
}

/** One kill of so many comes before the process has the data directory. */
const EARLY = 8;

/**
 * Runs a command, killing the process (SIGKILL) at random moments and starting
 * it again, until it has been killed this often or gets through.
 * @param options.end when to leave off, on the clock of performance.now()
 * @param options.stdin a file to give it through a pipe, from its start each time
 * @returns how often it was killed
 */
export async function ingestUnderFire(
  box: Sandbox,
  args: readonly string[],
  {
    kills,
    end = Number.POSITIVE_INFINITY,
    random,
    window,
    stdin,
  }: {
    kills: number;
    end?: number;
    random: () => number;
    window: KillWindow;
    stdin?: string | undefined;
  },
): Promise<number> {
  let killed = 0;
  let startUp = 0;
  while (killed < kills && performance.now() < end) {
    const running = box.start(args);
    if (stdin === undefined) running.stdin.end();
    else createReadStream(stdin).pipe(running.stdin);
    const started = performance.now();
    const kill = new AbortController();
    const wait = (ms: number) => setTimeout(ms, undefined, { signal: kill.signal });
    const early = random() < 1 / EARLY;
    const share = random();
    const shooting = (async () => {
      if (early && startUp > 0) await wait(share * startUp);
      else {
        while (!hasDirectory(box, running.pid)) await wait(5);
        startUp = performance.now() - started;
        await wait(startUp * (window.from + share * (window.to - window.from)));
      }
      running.child.kill('SIGKILL');
    })().catch(() => {});
    const { status, stderr } = await running.done;
    kill.abort();
    await shooting;
    if (status === null) killed += 1;
    else if (status === 0) break;
    else throw new Error(`infrasage ${args.join(' ')} ended with ${status}: ${stderr}`);
  }
  return killed;
}

/** Whether a process has taken the data directory; the lock of one that was killed stays until then. */
function hasDirectory(box: Sandbox, pid: number): boolean {
  try {
    return readFileSync(join(box.dataDir, 'infrasage.lock'), 'utf8').includes(`"pid":${pid},`);
  } catch {
    return false;
  }
}

/** The stored figures are the generator's to the last event and byte, and verify finds nothing. */
export async function expectExact(box: Sandbox, truth: Truth): Promise<void> {
  await expectVerified(box);
  await withEngine(box.dataDir, (sql) => expectFigures(async (statement) => sql(statement), truth));
}

/** In a process of its own: others may be at theirs. @param env that of the commands which wrote it */
export async function expectVerified(box: Sandbox, env: Record<string, string> = {}): Promise<void> {
  const verified = await box.apart(['verify', '--json'], { env });
  expect(verified.stdout).toContain('"ok": true');
  expect(JSON.parse(verified.stdout)).toMatchObject({ pending_batches: 0 });
  const { status, signal, stderr } = verified;
  expect({ status, signal }, stderr).toEqual({ status: 0 });
}

/** The metering is this, by tenant, hour and type. */
export async function expectMetered(
  ask: Ask,
  { byTenantTypeHour }: Pick<Truth, 'byTenantTypeHour'>,
  database = 'infrasage',
): Promise<void> {
  const metered = await ask<{ key: string; events: number; bytes: number }>(
    `SELECT concat(tenant_id, '\t', formatDateTime(hour, '%Y-%m-%dT%H:00:00Z'), '\t', event_type) AS key,
      sum(event_count) AS events, sum(m.bytes_received) AS bytes
    FROM ${database}.infrasage_usage_metering AS m GROUP BY key`,
  );
  const found = metered.map(({ key, events, bytes }) => [
    key,
    { events: Number(events), bytesReceived: Number(bytes) },
  ]);
  expect(Object.fromEntries(found)).toEqual(byTenantTypeHour);
}

/** Gives the rows of a statement. */
type Ask = <Row extends object>(statement: string) => Promise<Row[]>;

export async function expectFigures(ask: Ask, truth: Truth, database = 'infrasage'): Promise<void> {
  await expectMetered(ask, truth, database);
  const letters = await ask<{ line: number; error: string; base64: string }>(
    `SELECT line, error, base64Encode(raw) AS base64 FROM ${database}.infrasage_dlq ORDER BY line`,
  );
  expect(
    letters.map(({ line, error, base64 }) => ({
      line: Number(line),
      code: error,
      raw: Buffer.from(base64, 'base64').toString(),
    })),
  ).toEqual(truth.rejects);
}
