import { spawn } from 'node:child_process';
import { createReadStream, mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { InfrasageError } from '../src/errors.ts';
import { claim } from '../src/ingest/claim.ts';
import { ingest } from '../src/ingest/ingest.ts';
import { recover } from '../src/ingest/recover.ts';
import { fileSource } from '../src/ingest/source.ts';
import { programVersion } from '../src/package.ts';
import { openEmbedded } from '../src/store/embedded.ts';
import type { EmbeddedStore } from '../src/store/embedded-database.ts';
import { openStore } from '../src/store/open.ts';
import { thisProcess } from '../src/store/process.ts';
import { connectShared } from '../src/store/socket-client.ts';
import { shareStore } from '../src/store/socket-server.ts';
import { type Store, uint64 } from '../src/store/store.ts';
import { type CliResult, type RunOptions, type Sandbox, sandbox, until } from './helpers/cli.ts';
import { expectExact, monthsOfEvents, runSeed, seeded } from './helpers/crash.ts';
import { event, lines } from './helpers/events.ts';
import { ingestOptions } from './helpers/ingest-options.ts';
import { releaseEngine, removeFolder } from './helpers/kept-engine.ts';
import { beside, sharing } from './helpers/sharing.ts';
import { initialised } from './helpers/template.ts';

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

describe('a store that is shared', () => {
  let folder: string;
  let dataDir: string;
  let store: EmbeddedStore;
  let shared: { close(): Promise<void> };
  let client: Store;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'infrasage-test-'));
    dataDir = join(folder, 'data');
    initialised(dataDir);
    store = await openEmbedded({ dataDir, database: 'infrasage', command: 'serve', shares: true });
    shared = await shareStore(store, { dataDir });
    client = await openStore({ dataDir, database: 'infrasage', command: 'test' });
  });
  afterEach(async () => {
    await client.close();
    await shared.close();
    await store.close();
    removeFolder(folder);
  });

  const OPTIONS = ingestOptions({ maxLine: 500, batchBytes: 900 });
  const deps = { owner: thisProcess(), now: () => new Date() };

  it('can be reached by this user alone', () => {
    const modes = [dataDir, join(dataDir, 'infrasage.sock')].map((path) => statSync(path).mode & 0o777);
    expect(modes).toEqual([0o700, 0o600]);
  });

  it('binds values of every kind, and gives rows as they are', async () => {
    const params = {
      text: 'a\u2028b\n"\'{{db}}\\',
      small: -1.5,
      big: 18_446_744_073_709_551_615n,
      yes: true,
      time: new Date('2024-02-28T10:15:30.250Z'),
      nothing: null,
      list: ['x', "y'"],
      bigs: [18_446_744_073_709_551_615n],
    };
    const sql = `SELECT {text:String} AS text, {small:Float64} AS small, {big:UInt64} AS big, {yes:Bool} AS yes,
      {time:DateTime64(3, 'UTC')} AS time, {nothing:Nullable(String)} AS nothing, {list:Array(String)} AS list,
      {bigs:Array(UInt64)} AS bigs`;
    const [through, direct] = await Promise.all(
      [client, store].map((one) => one.query(sql, z.unknown(), params)),
    );
    expect(through).toEqual(direct);
    expect(through).toMatchObject([{ text: params.text, big: '18446744073709551615', list: params.list }]);
    const many = await client.query(
      'SELECT number AS n, repeat(toString(number), 5) AS text FROM numbers(300000)',
      z.object({ n: uint64, text: z.string() }),
    );
    expect(many.length).toBe(300_000);
    expect(many[299_999]).toEqual({ n: 299_999n, text: '299999'.repeat(5) });
    await expect(client.query('SELECT 1 AS n', z.object({ n: z.string() }))).rejects.toThrow(z.ZodError);
  });

  it('fails as it does without, with the same words, status and cause', async () => {
    const broken = ['SELECT nothing FROM nowhere', 'INSERT INTO {{db}}.infrasage_quotas SELECT 1'];
    for (const sql of broken) {
      const [through, direct] = await Promise.all(
        [client, store].map((one) => one.command(sql).catch((error: unknown) => error)),
      );
      if (!(through instanceof InfrasageError && direct instanceof InfrasageError))
        throw new Error('no error');
      const { message, kept, hint, exitStatus } = direct;
      expect(through).toMatchObject({ message, kept, hint, exitStatus });
      expect(String((through.cause as Error).stack)).toContain((direct.cause as Error).message);
    }
  });

  it('reads nothing but what is spooled', async () => {
    const path = join(folder, 'secret.ndjson');
    writeFileSync(path, lines(event()));
    const batch = {
      batchId: 'x',
      source: '-',
      firstLine: 1,
      crlf: false,
      blank: false,
      cut: [],
      receivedAt: new Date(),
      options: OPTIONS,
      bindings: [{ line: 1, tenant: 'acme-corp' }],
    };
    await expect(client.judgeBatch({ ...batch, path })).rejects.toThrow(/secret\.ndjson/);
    await expect(client.judgeBatch({ ...batch, path: join(folder, 'secret') })).rejects.toThrow();
    const spooled = join(client.spoolDir, 'x.ndjson');
    writeFileSync(spooled, lines(event(), 'no json'));
    const verdicts = await client.judgeBatch({ ...batch, path: spooled });
    expect(verdicts.map(({ error, lines: n }) => [error, n]).sort()).toEqual([
      ['', 1n],
      ['invalid_json', 1n],
    ]);
  });

  it('has one claim of a place and one recovery of a batch, in whatever process, and frees those of who has gone', async () => {
    const place = { previousKey: 'a', head: 'b' };
    const held = await claim(client, place);
    const other = await openStore({ dataDir, database: 'infrasage', command: 'test' });
    const order: string[] = [];
    const second = claim(other, place).then(() => order.push('second'));
    expect(await store.tryLock('something else')).toBeDefined();
    expect(await client.tryLock('something else')).toBeUndefined();
    expect(order).toEqual([]);
    await held.release();
    await held.release();
    await second;
    const third = claim(store, place).then(() => order.push('third'));
    expect(await client.tryLock('something more')).toBeDefined();
    expect(order).toEqual(['second']);
    // Nothing is released: the client goes away.
    await other.close();
    await third;
    await expect(other.command('SELECT 1')).rejects.toMatchObject({ exitStatus: 3 });
  });

  it('is given up where it is stopped while others wait for what it holds; one that lives is waited for', async () => {
    await shared.close();
    shared = await shareStore(store, { dataDir, silence: 500 });
    const place = { previousKey: 'a', head: 'b' };
    const living = await openStore({ dataDir, database: 'infrasage', command: 'test' });
    const slow = await claim(living, place);
    let free = false;
    const waiting = claim(store, place).then((held) => {
      free = true;
      return held;
    });
    // It is stopped as by Ctrl-Z, while it has a lock.
    const script = `
      const { openStore } = await import(process.argv[1]);
      const store = await openStore({ dataDir: process.argv[2], database: 'infrasage', command: 'test' });
      await store.lock('rows', 'shared');
      console.log('held');
      process.stdin.once('data', () => store.command('SELECT 1').then(() => console.log('done'), (error) => console.log(error.message)));`;
    const built = fileURLToPath(new URL('../dist/store/open.js', import.meta.url));
    releaseEngine();
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, built, dataDir]);
    try {
      const said = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      expect((await said.next()).value).toBe('held');
      child.kill('SIGSTOP');
      const rows = await store.lock('rows');
      await rows.release();
      child.kill('SIGCONT');
      child.stdin.write('go on');
      expect((await said.next()).value).toMatch(/was stopped for a while, and others.* went on without it/);
      expect(free).toBe(false);
      await slow.release();
      await (await waiting).release();
    } finally {
      child.kill('SIGKILL');
      await living.close();
    }
  });

  it('leaves a pending batch alone while its place is claimed, with its spool file, and settles it after', async () => {
    const path = join(folder, 'events.ndjson');
    writeFileSync(path, lines(event(), 'no json'));
    let writing: () => void = () => {};
    const begun = new Promise<void>((resolve) => {
      writing = resolve;
    });
    let fail: (error: Error) => void = () => {};
    const stuck = new Promise<void>((_, reject) => {
      fail = reject;
    });
    // A run of another process that is about to write its rows.
    const slow: Store = Object.assign(Object.create(client) as Store, {
      ...bound(client),
      writeBatch: () => {
        writing();
        return stuck;
      },
    });
    const running = ingest([{ ...fileSource(path), once: true }], OPTIONS, { store: slow, now: deps.now });
    const failed = running.catch((error: unknown) => error);
    await begun;
    const nothing = { committed: 0, aborted: 0, redone: 0 };
    expect(await recover(store, deps)).toMatchObject(nothing);
    expect(readdirSync(client.spoolDir).length).toBe(1);
    // The same input meanwhile waits for it.
    const again = ingest([fileSource(path)], OPTIONS, { store, now: deps.now });
    fail(new InfrasageError('injected failure'));
    expect(await failed).toMatchObject({ message: 'injected failure' });
    expect(await again).toMatchObject({ lines: 2n, accepted: 0n, skipped: 2n });
    expect(await recover(store, deps)).toMatchObject(nothing);
    expect(readdirSync(client.spoolDir)).toEqual([]);
  });

  /** The methods of a store, bound to it: private fields are not there for who inherits. */
  function bound(of: Store): Partial<Store> {
    const names = [
      'query',
      'command',
      'mutate',
      'insert',
      'judgeBatch',
      'lock',
      'tryLock',
      'exclusively',
    ] as const;
    return Object.fromEntries(names.map((name) => [name, of[name].bind(of)]));
  }

  it('is waited for while its process starts or stops', async () => {
    await shared.close();
    await expect(client.command('SELECT 1')).rejects.toMatchObject({ exitStatus: 3 });
    let opened = false;
    const opening = openStore({ dataDir, database: 'infrasage', command: 'test' }).then((one) => {
      opened = true;
      return one;
    });
    expect(await connectShared({ dataDir, database: 'infrasage' })).toBeUndefined();
    expect(opened).toBe(false);
    shared = await shareStore(store, { dataDir });
    await (await opening).close();
    await shared.close();
    const alone = openStore({ dataDir, database: 'infrasage', command: 'test' });
    await store.close();
    await (await alone).close();
  });

  it('refuses another version of the program in words', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const headers = { 'infrasage-version': '99.0.0', 'infrasage-database': 'infrasage' };
      request({ socketPath: join(dataDir, 'infrasage.sock'), path: '/session', headers }, (response) =>
        text(response).then(resolve, reject),
      )
        .on('error', reject)
        .end();
    });
    expect(JSON.parse(answer)).toMatchObject({ message: expect.stringContaining('99.0.0'), exitStatus: 3 });
  });

  it('ends though a client does not read its answer', async () => {
    const ask = (path: string, headers: Record<string, string>, body = '') =>
      new Promise<IncomingMessage>((resolve, reject) => {
        const socketPath = join(dataDir, 'infrasage.sock');
        request({ socketPath, path, method: 'POST', headers }, resolve).on('error', reject).end(body);
      });
    const session = await ask('/session', {
      'infrasage-version': programVersion(),
      'infrasage-database': 'infrasage',
    });
    const { session: id } = JSON.parse(String(session.headers['infrasage-hello']));
    const sql = "SELECT repeat('x', 1000) AS x FROM numbers(20000)";
    const unread = await ask('/query', { 'infrasage-session': id }, JSON.stringify({ sql, params: {} }));
    unread.on('error', () => {});
    session.on('error', () => {});
    expect(unread.statusCode).toBe(200);
    await shared.close();
    expect(await store.query('SELECT 1 AS one', z.object({ one: z.number() }))).toEqual([{ one: 1 }]);
  });

  it('lives through what is no request, and through a client that goes away in the middle', async () => {
    const socket = createConnection(join(dataDir, 'infrasage.sock'));
    socket.on('error', () => {}).resume();
    socket.end('nonsense\r\n\r\n');
    await new Promise((resolve) => socket.once('close', resolve));
    const other = await openStore({ dataDir, database: 'infrasage', command: 'test' });
    const long = other.query('SELECT sum(sleepEachRow(0.1)) AS s FROM numbers(5)', z.unknown());
    const gone = long.catch((error: unknown) => error);
    await other.close();
    expect(await gone).toMatchObject({ exitStatus: 3 });
    expect(await client.query('SELECT 1 AS one', z.object({ one: z.number() }))).toEqual([{ one: 1 }]);
  });
});
