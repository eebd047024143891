import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs';
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
import { event, lines } from './helpers/events.ts';
import { ingestOptions } from './helpers/ingest-options.ts';
import { releaseEngine, removeFolder } from './helpers/kept-engine.ts';
import { initialised } from './helpers/template.ts';

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
