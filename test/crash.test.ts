import { createReadStream } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Sandbox, sandbox, withDataDir } from './helpers/cli.ts';
import { expectExact, ingestUnderFire, monthsOfEvents, runSeed, seeded } from './helpers/crash.ts';
import { event, lines } from './helpers/events.ts';
import { CAN_MOUNT, SmallDisk } from './helpers/small-disk.ts';

/** Kills in all, and the minutes after which no more are begun; npm run test:crash asks for 1,000 in ten. */
const KILLS = Number(process.env.INFRASAGE_CRASH_KILLS ?? 12);
const MINUTES = Number(process.env.INFRASAGE_CRASH_MINUTES ?? 3);
const TIME = MINUTES * 60_000 + 240_000;
const SMALL_BATCHES = ['--batch-bytes', '60000', '--max-line', '20000'];

/** What is ingested under fire: some 250 rows a batch over four months, from a file and from a pipe, and one large batch. */
const KINDS = [
  { events: 4_000, options: SMALL_BATCHES, piped: false, kills: 30, window: { from: 0.05, to: 0.5 } },
  { events: 4_000, options: SMALL_BATCHES, piped: true, kills: 30, window: { from: 0.05, to: 0.5 } },
  { events: 40_000, options: [], piped: false, kills: 5, window: { from: 0.05, to: 1.5 } },
] as const;

/** Runs at the same time, each on a data directory of its own: start-up leaves the cores idle now and then. */
const LANES = 3;

let box: Sandbox;
beforeEach(() => {
  box = sandbox();
});
afterEach(() => box.remove());

/**
 * Ingests one input after the other, each of another kind, killing the process
 * until it was killed so often or the time is up; of each input the figures are exact then.
 * @returns how often it was killed
 */
async function lane(first: number, { seed, kills, end }: { seed: number; kills: number; end: number }) {
  const random = seeded(seed);
  let killed = 0;
  for (let round = 0; killed < kills && performance.now() < end; round++) {
    const kind = KINDS[(first + round) % KINDS.length];
    if (!kind) throw new Error('no kind');
    await withDataDir(async (own) => {
      const { path, truth } = monthsOfEvents(own.folder, kind.events, seed + round);
      const args = ['ingest', ...kind.options, ...(kind.piped ? [] : [path])];
      const stdin = kind.piped ? path : undefined;
      const most = Math.min(kills - killed, kind.kills);
      killed += await ingestUnderFire(own, args, { kills: most, end, random, window: kind.window, stdin });
      const last = await own.apart(args, stdin ? { stdin: createReadStream(stdin) } : {});
      expect(last.stderr).not.toContain('infrasage:');
      expect(last.status).toBe(0);
      await expectExact(own, truth);
    });
  }
  return killed;
}

describe('a process that is killed', () => {
  it(
    `is exact to the last event after up to ${KILLS} kills at random moments, in small batches and large ones`,
    async () => {
      const seed = runSeed();
      console.log(`crash test: seed ${seed} (INFRASAGE_SEED=${seed} repeats it)`);
      const began = performance.now();
      const end = began + MINUTES * 60_000;
      const share = { kills: Math.ceil(KILLS / LANES), end };
      const killed = await Promise.all(
        Array.from({ length: LANES }, (_, i) => lane(i, { seed: seed + i * 1_000_003, ...share })),
      );
      const all = killed.reduce((sum, n) => sum + n, 0);
      console.log(`crash test: killed ${all} times in ${Math.round((performance.now() - began) / 1000)} s`);
      expect(all).toBeGreaterThan(0);
    },
    TIME,
  );

  it('is settled by recover, however often recover itself is killed', async () => {
    const seed = runSeed();
    console.log(`recovery test: seed ${seed}`);
    const random = seeded(seed);
    const { path, truth } = monthsOfEvents(box.folder, 6_000, seed);
    const args = ['ingest', ...SMALL_BATCHES, path];
    // An ingest that is killed early makes no data directory, and recover none either.
    await box.json(['init']);
    for (let i = 0; i < 3; i++) {
      await ingestUnderFire(box, args, { kills: 1, random, window: { from: 0.1, to: 0.8 } });
      await ingestUnderFire(box, ['recover'], { kills: 2, random, window: { from: 0, to: 0.3 } });
    }
    expect((await box.run(['recover'])).status).toBe(0);
    expect((await box.json<{ pending_batches: number }>(['verify'])).pending_batches).toBe(0);
    expect((await box.run(args)).status).toBe(0);
    await expectExact(box, truth);
  });
});

const KILL_IN_INSERT = new URL('./helpers/kill-in-insert.js', import.meta.url);

it('a closing of a month that is killed has closed nothing, and the next one closes it', async () => {
  const june = (i: number) => event({ timestamp: `2024-06-0${i}T10:00:00Z`, tenant_id: `tenant-${i}` });
  await box.json(['ingest'], { stdin: lines(...[1, 2, 3].map(june)) });
  const bill = async () => (await box.run(['billing', '--month', '2024-06', '--json'])).stdout;
  const open = await bill();
  const close = (at: string) => {
    const env = { NODE_OPTIONS: `--import=${KILL_IN_INSERT.href}`, KILL_AT: at };
    return box.apart(['billing', 'close', '2024-06', '--json'], { env });
  };
  // Its figures, its terms and the record that it is closed; the third insert, once done, has closed it.
  for (const at of ['1,after', '2,after', '3,before'])
    expect(await close(at), at).toMatchObject({ status: null, stdout: '' });
  expect(await bill()).toBe(open);
  expect(await box.json(['billing', 'history'])).toEqual({ closed_months: [], history: [] });
  expect(await close('3,after')).toMatchObject({ status: null, stdout: '' });
  const closed = JSON.parse(await bill());
  expect(closed).toMatchObject({ total_events: 3, closed_at: expect.any(String) });
  expect(await box.json(['billing', 'close', '2024-06'])).toMatchObject({
    already: true,
    after: { events: 3 },
  });
  await box.json(['ingest'], { stdin: lines(june(4)) });
  expect(JSON.parse(await bill())).toEqual(closed);
});

it('two processes on one data directory: one is told by which it is in use, and the figures are exact', async () => {
  const { path, truth } = monthsOfEvents(box.folder, 3_000, 5);
  const both = await Promise.all([0, 1].map(() => box.apart(['ingest', path])));
  expect(both.map(({ status }) => status).sort()).toEqual([0, 3]);
  const refused = both.find(({ status }) => status === 3);
  expect(refused?.stderr).toMatch(/in use by process \d+ \(infrasage ingest\)/);
  await expectExact(box, truth);
});

describe('a full disk', () => {
  let disk: SmallDisk | undefined;
  afterEach(() => {
    disk?.remove();
    disk = undefined;
  });

  it.skipIf(!CAN_MOUNT)(
    'ends with 3 and a clear message, and the same command goes on when there is space',
    async () => {
      disk = new SmallDisk(box.dataDir, '24m');
      const { path, truth } = monthsOfEvents(box.folder, 30_000, 9);
      // Batches of 1 MB: some are in before the disk is full.
      const args = ['ingest', '--batch-bytes', '1000000', '--max-line', '20000', path];
      disk.take(16_000_000);
      const full = await box.run(args);
      expect(full.status).toBe(3);
      expect(full.stderr).toMatch(
        /^infrasage: the disk is full; .+; make space and run the same command again/,
      );
      expect(full.stderr).not.toContain('    at ');
      // It still opens, and a second try fails just as clearly.
      expect((await box.run(['usage', '--since', '2020-01-01'])).status).toBe(0);
      expect((await box.run(args)).status).toBe(3);
      disk.free('400m');
      expect(await box.run(args)).toMatchObject({ status: 0 });
      await expectExact(box, truth);
    },
  );
});
