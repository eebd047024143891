import { createReadStream, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CliResult, type RunOptions, type Sandbox, sandbox, until } from './helpers/cli.ts';
import { expectExact, monthsOfEvents, runSeed, seeded } from './helpers/crash.ts';
import { event, lines } from './helpers/events.ts';
import { beside, sharing } from './helpers/sharing.ts';

const SMALL_BATCHES = ['--batch-bytes', '60000', '--max-line', '20000'];

// Dozens of processes each.
describe('a command beside a process that shares the data directory', { timeout: 300_000 }, () => {
  let box: Sandbox;
  let alone: Sandbox;
  beforeEach(() => {
    box = sandbox({ initialised: true });
    alone = sandbox({ initialised: true });
  });
  afterEach(async () => {
    await box.remove();
    await alone.remove();
  });

  const EVENTS = lines(
    event(),
    event({ service_id: 'web', event_type: 'log', body: 'a\u2028b' }),
    'no json',
    event({ tenant_id: 'globex', timestamp: '2024-02-29T23:59:59Z' }),
    '{"tenant_id":"globex"}',
  );
  const SINCE = ['--since', '2024-01-01'];

  /** One after the other, the results of those before in what follows. */
  const COMMANDS: { args: string[]; options?: RunOptions }[] = [
    { args: ['init'] },
    { args: ['ingest', 'events.ndjson'] },
    { args: ['ingest'], options: { stdin: EVENTS } },
    { args: ['ingest', '--tenant', 'initech', '--strict-exit'], options: { stdin: EVENTS } },
    { args: ['ingest', '--dry-run', 'events.ndjson'] },
    { args: ['usage', ...SINCE] },
    { args: ['usage', ...SINCE, '--by', 'hour', '--tenant', 'globex'] },
    { args: ['services', ...SINCE] },
    { args: ['billing', '--month', '2024-02'] },
    { args: ['tenants'] },
    { args: ['quota', 'set', '18446744073709551615', '--tenant', 'globex'] },
    { args: ['quota', 'show'] },
    { args: ['quota', 'unset', '--tenant', 'globex'] },
    { args: ['alerts', 'add', '99.5', '--email', 'a@b.example'] },
    { args: ['alerts', 'list'] },
    { args: ['alerts', 'remove', '99.5'] },
    { args: ['dlq', 'list', '--each'] },
    { args: ['dlq', 'list'] },
    { args: ['verify'] },
    { args: ['verify', '--repair'] },
    { args: ['recover'] },
    { args: ['--database', 'other', 'ingest', 'events.ndjson'] },
    { args: ['--database', 'other', 'usage', ...SINCE] },
    { args: ['tenants'] },
    // What goes wrong.
    { args: ['ingest', 'nothing.ndjson'] },
    { args: ['ingest', 'damaged.gz'] },
    { args: ['dlq', 'show', '000000000000.1-1'] },
    { args: ['alerts', 'remove', '12'] },
    { args: ['quota', 'set', 'many'] },
    { args: ['usage', '--since', 'yesterday-ish'] },
    { args: ['usage', '--database', '1;drop'] },
    { args: ['usage', '--database', 'mistyped'] },
    { args: ['sql', 'SELECT count() AS n FROM infrasage_raw_firehose'] },
    { args: ['sql', 'DROP TABLE infrasage_raw_firehose'] },
  ];

  it('has the same results, errors and exit status', async () => {
    for (const one of [box, alone]) {
      one.file('events.ndjson', EVENTS);
      one.file('damaged.gz', Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9]));
    }
    await beside(box.dataDir, async () => {
      for (const { args, options } of COMMANDS) {
        const run = async (one: Sandbox) => neutral(one, await one.run([...args, '--json'], options));
        const through = await run(box);
        const direct = await run(alone);
        expect({ args, ...through }).toEqual({ args, ...direct });
        expect(through.stderr).not.toContain('unexpected');
      }
      const [letters] = (await box.json<{ letters: { id: string }[] }>(['dlq', 'list', '--each'])).letters;
      const show = ['dlq', 'show', letters?.id ?? '', '--json'];
      const through = await box.run(show);
      expect(neutral(box, through)).toEqual(neutral(alone, await alone.run(show)));
      expect(through.status).toBe(0);
    });
  });

  /** Without what differs from run to run: paths, times and random ids. */
  function neutral(one: Sandbox, result: CliResult): CliResult {
    const clean = (text: string) =>
      text
        .replaceAll(one.folder, 'FOLDER')
        .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (time) => (time.startsWith('2024') ? time : 'TIME'))
        .replace(/("elapsed_ms": )\d+/g, '$1N')
        .replace(/("id": )"[0-9a-f]{12}"/g, '$1ID');
    return { status: result.status, stdout: clean(result.stdout), stderr: clean(result.stderr) };
  }

  it('ingests beside others: different inputs, and the same one from files and pipes in other batches, counted once', async () => {
    const { path, truth } = monthsOfEvents(box.folder, 2_500, 7);
    const other = box.file(
      'other.ndjson',
      lines(...Array.from({ length: 800 }, (_, i) => event({ value: i }))),
    );
    const ingestArgs = ['ingest', '--json', ...SMALL_BATCHES];
    await beside(box.dataDir, async () => {
      const all = await Promise.all([
        box.apart([...ingestArgs, path]),
        box.apart(['ingest', '--json', '--max-line', '20000', '--batch-bytes', '150000', path]),
        box.apart(ingestArgs, { stdin: createReadStream(path) }),
        box.apart(['--database', 'other', ...ingestArgs, other]),
      ]);
      expect(all.map(({ stderr }) => stderr)).toEqual(['', '', '', '']);
      const counted = all.map(({ stdout }) => JSON.parse(stdout) as Record<string, number>);
      const same = counted.slice(0, 3);
      expect(same.reduce((sum, one) => sum + (one.accepted ?? 0), 0)).toBe(truth.accepted);
      expect(same.map((one) => one.lines)).toEqual([truth.lines, truth.lines, truth.lines]);
      expect(counted[3]).toMatchObject({ accepted: 800 });
    });
    await expectExact(box, truth);
  });

  it('finds everything in order at any moment, and settles nothing that others have under way', async () => {
    const { path, truth } = monthsOfEvents(box.folder, 1_500, 11);
    await beside(box.dataDir, async () => {
      const running = box.apart(['ingest', ...SMALL_BATCHES], { stdin: createReadStream(path) });
      let ended = false;
      void running.then(() => {
        ended = true;
      });
      while (!ended) {
        expect((await box.run(['verify', '--json'])).stdout).toContain('"ok": true');
        expect(await box.json(['recover'])).toMatchObject({ committed: 0, aborted: 0, redone: 0 });
        expect(await box.json(['verify', '--repair'])).toMatchObject({ repairs: [] });
      }
      expect(await running).toMatchObject({ status: 0, stderr: '' });
    });
    await expectExact(box, truth);
  });

  it.each([['a file'], ['a pipe']])(
    'is exact when the sharing process or the command is killed in the middle of %s, and both come again',
    async (from) => {
      const seed = runSeed();
      console.log(`socket crash test: seed ${seed} (INFRASAGE_SEED=${seed} repeats it)`);
      const random = seeded(seed);
      const { path, truth } = monthsOfEvents(box.folder, 1_500, seed);
      const args = ['ingest', ...SMALL_BATCHES, ...(from === 'a pipe' ? [] : [path])];
      const start = () => {
        const running = box.start(args);
        if (from === 'a pipe') createReadStream(path).pipe(running.stdin);
        return running;
      };
      let shared = await sharing(box.dataDir);
      const spool = join(box.dataDir, 'spool', 'infrasage');
      for (let round = 0; round < 3; round++) {
        const running = start();
        // From the first batch of the run on, at any moment.
        await until(() => readdirSync(spool).length > 0 || running.child.exitCode !== null);
        await new Promise((resolve) => setTimeout(resolve, random() * 500));
        if (round % 2 === 1) {
          running.child.kill('SIGKILL');
          await running.done;
          continue;
        }
        await shared.kill();
        const { status, stderr } = await running.done;
        if (status !== 0) {
          expect(status).toBe(3);
          expect(stderr).toMatch(/^(recovered .*\n)?infrasage: the infrasage process .* has stopped; /);
        }
        // Beside a new one, or with the engine to itself first.
        if (round === 2) expect(await box.run(['recover'])).toMatchObject({ status: 0, stderr: '' });
        shared = await sharing(box.dataDir);
      }
      const last = await start().done;
      expect(last.status).toBe(0);
      expect(last.stderr).not.toContain('infrasage:');
      await shared.stop();
      expect(readdirSync(spool)).toEqual([]);
      await expectExact(box, truth);
    },
  );

  it('fails clearly when the sharing process is told to stop, and goes on without it', async () => {
    const { path, truth } = monthsOfEvents(box.folder, 1_500, 13);
    const shared = await sharing(box.dataDir);
    const running = box.start(['ingest', ...SMALL_BATCHES, path]);
    await until(() => readdirSync(join(box.dataDir, 'spool', 'infrasage')).length > 0);
    await shared.stop();
    const { status, stderr } = await running.done;
    if (status !== 0) {
      expect(status).toBe(3);
      expect(stderr).toMatch(
        /^infrasage: the infrasage process that has the data directory open has stopped; .+; run the same command again\n$/,
      );
    }
    expect(readdirSync(box.dataDir)).not.toContain('infrasage.sock');
    expect(await box.run(['ingest', ...SMALL_BATCHES, path])).toMatchObject({ status: 0 });
    await expectExact(box, truth);
  });

  it('works with a data directory whose path is too long for a socket', async () => {
    const dataDir = join(box.folder, 'a'.repeat(120), 'data');
    const run = (...args: string[]) => box.run(['--data-dir', dataDir, ...args], { dataDir: false });
    await beside(dataDir, async () => {
      expect(statSync(join(dataDir, 'infrasage.sock')).isSocket()).toBe(true);
      expect(await run('ingest', box.file('e.ndjson', EVENTS))).toMatchObject({ status: 0, stderr: '' });
      expect(await run('verify')).toMatchObject({ status: 0, stderr: '' });
      expect(readdirSync(box.tmp)).toEqual([]);
    });
  });

  it('is refused by a plain command as ever, and finds the socket of a killed process no obstacle', async () => {
    const shared = await sharing(box.dataDir);
    const second = await sharing(box.dataDir).catch((error: unknown) => error);
    expect(second).toBeInstanceOf(Error);
    await shared.kill();
    expect(readdirSync(box.dataDir)).toContain('infrasage.sock');
    expect(await box.run(['tenants'])).toMatchObject({ status: 0, stderr: '' });
    await beside(box.dataDir, async () => {
      expect(await box.run(['tenants'])).toMatchObject({ status: 0, stderr: '' });
    });
  });
});
