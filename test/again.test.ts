import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  copyFileSync,
  createReadStream,
  existsSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { accounts, storedServices } from './helpers/accounts.ts';
import { ON_SERVER, type Sandbox, sandbox, until } from './helpers/cli.ts';
import { event, generated, lines } from './helpers/events.ts';

let box: Sandbox;
beforeEach(async () => {
  box = sandbox({ initialised: true });
  await box.ready;
});
afterEach(() => box.remove());

interface Summary {
  lines: number;
  accepted: number;
  rejected: number;
  skipped: number;
}

const ingest = (args: readonly string[], stdin?: Buffer | string | { file: string }) =>
  box.json<Summary>(['ingest', ...args], stdin === undefined ? {} : { stdin });

it('counts the same input once: again, under another name, from a pipe, as a descriptor, compressed, cut in other batches', async () => {
  const { path, truth } = generated(box.folder, { count: 20_000, mix: 'mixed', seed: 3 });
  const { lines: all, accepted, rejected } = truth;
  expect(await ingest([path])).toMatchObject({ lines: all, accepted, rejected, skipped: 0 });
  const copy = join(box.folder, 'copy.ndjson');
  copyFileSync(path, copy);
  const again = { lines: all, accepted: 0, rejected: 0, skipped: all };
  expect(await ingest([path])).toMatchObject(again);
  expect(await ingest([copy])).toMatchObject(again);
  expect(await ingest([], readFileSync(path))).toMatchObject(again);
  expect(await ingest([], { file: path })).toMatchObject(again);
  expect(await ingest([box.file('events.gz', gzipSync(readFileSync(path)))])).toMatchObject(again);
  expect(await ingest(['--batch-bytes', '1100000', path])).toMatchObject(again);
  const told = await box.run(['ingest', path]);
  expect(told.stdout).toContain('20,000 lines already ingested before; --allow-duplicates');
  expect(await accounts(box.sql)).toMatchObject({
    firehose: accepted,
    metered: accepted,
    letters: rejected,
  });
});

it('counts a file given twice in one command once', async () => {
  const path = box.file('events.ndjson', lines(event(), event({ service_id: 'b' }), 'no json'));
  expect(await ingest([path, path])).toMatchObject({ lines: 6, accepted: 2, rejected: 1, skipped: 3 });
});

it('ingests again on purpose, and what has other options, since the outcome may differ', async () => {
  const path = box.file('events.ndjson', lines(event(), event({ tenant_id: undefined })));
  expect(await ingest([path])).toMatchObject({ accepted: 1, rejected: 1, skipped: 0 });
  expect(await ingest(['--allow-duplicates', path])).toMatchObject({ accepted: 1, rejected: 1, skipped: 0 });
  for (const options of [
    ['--tenant', 'globex'],
    ['--strict'],
    ['--default-type', 'log'],
    ['--assume-utc'],
    ['--max-age', '9000d'],
    ['--max-line', '5000'],
  ]) {
    expect(await ingest([...options, path])).toMatchObject({ skipped: 0 });
    expect(await ingest([...options, path])).toMatchObject({ skipped: 2 });
  }
  expect((await box.run(['verify'])).status).toBe(0);
});

it('goes on in a file that has grown, with its line numbers', async () => {
  const path = box.file(
    'events.ndjson',
    lines(event({ service_id: 'a' }), 'no json', event({ service_id: 'b' })),
  );
  await ingest([path]);
  appendFileSync(path, lines(event({ service_id: 'c' }), 'no json either'));
  expect(await ingest([path])).toMatchObject({ lines: 5, accepted: 1, rejected: 1, skipped: 3 });
  appendFileSync(path, lines(event({ service_id: 'd' })));
  expect(await ingest([path])).toMatchObject({ lines: 6, accepted: 1, rejected: 0, skipped: 5 });
  const { letters } = await box.json<{ letters: { line: number }[] }>(['dlq', 'list', '--each']);
  expect(letters.map(({ line }) => line).sort()).toEqual([2, 5]);
});

it('takes a last line that was unfinished once: as it stands where it is whole, anew where it went on', async () => {
  const whole = box.file('whole.ndjson', lines(event({ service_id: 'a' })) + event({ service_id: 'b' }));
  expect(await ingest([whole])).toMatchObject({ lines: 2, accepted: 2 });
  expect(await ingest([whole])).toMatchObject({ lines: 2, accepted: 0, skipped: 2 });
  appendFileSync(whole, `\r\n${lines(event({ service_id: 'c' }), 'no json')}`);
  expect(await ingest([whole])).toMatchObject({ lines: 4, accepted: 1, rejected: 1, skipped: 2 });
  const { letters } = await box.json<{ letters: { line: number }[] }>(['dlq', 'list', '--each']);
  expect(letters.map(({ line }) => line)).toEqual([4]);

  const text = event({ service_id: 'late' });
  const half = box.file('half.ndjson', lines(event({ service_id: 'first' })) + text.slice(0, 50));
  expect(await ingest([half])).toMatchObject({ accepted: 1, rejected: 1 });
  writeFileSync(half, lines(event({ service_id: 'first' }), text));
  expect(await ingest([half])).toMatchObject({ lines: 2, accepted: 1, rejected: 0, skipped: 1 });
  expect(await storedServices(box.sql)).toEqual(['a', 'b', 'c', 'first', 'late']);
});

it('ends cleanly on Ctrl-C and SIGTERM, says what is in and how to go on, and goes on exactly', async () => {
  const { path, truth } = generated(box.folder, { count: 30_000, mix: 'mixed', seed: 4 });
  const args = ['ingest', '--batch-bytes', '1100000'];
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const running = box.start([...args, '--flush-interval', '50']);
    // A pipe that stays open: whole lines, and the start of one more.
    running.stdin.write(readFileSync(path).subarray(0, 3_000_000));
    await until(() => isIngesting(running.pid));
    running.child.kill(signal);
    const { status, stdout, stderr } = await running.done;
    expect(status).toBe(3);
    expect(stdout).toMatch(/lines = /);
    expect(stderr).toContain(
      'interrupted; what the summary counts is ingested and safe; run the same command again',
    );
  }
  expect(await box.json<Summary>([...args, path])).toMatchObject({ lines: truth.lines });
  const verified = await box.run(['verify']);
  expect(verified.status).toBe(0);
  expect(await accounts(box.sql)).toMatchObject({ firehose: truth.accepted, letters: truth.rejected });
});

// A server does not know of a process that waits for more of its input; known.test.ts has the same on both.
it.skipIf(ON_SERVER)(
  'takes nothing of a pipe that is stopped within what is known, and does not say that there was nothing in it',
  async () => {
    const text = lines(...Array.from({ length: 20 }, (_, i) => event({ service_id: `s${i}` })));
    const path = box.file('known.ndjson', text);
    await ingest([path]);
    const running = box.start(['ingest']);
    running.stdin.write(text.slice(0, text.length / 2));
    await until(() => isIngesting(running.pid));
    running.child.kill('SIGINT');
    const { status, stdout } = await running.done;
    expect(status).toBe(3);
    expect(stdout).toMatch(/^0 lines = 0 accepted/m);
    expect(stdout).not.toContain('no events');
    expect(await ingest([path])).toMatchObject({ lines: 20, skipped: 20 });
    expect((await box.run(['verify'])).status).toBe(0);
  },
);

it('a second Ctrl-C ends it at once as Ctrl-C does, with a word', async () => {
  const module = new URL('../dist/commands/interrupt.js', import.meta.url).href;
  const script = `import { onInterrupt } from '${module}';
    onInterrupt(async () => console.error('asked'));
    setInterval(() => {}, 1000);
    console.error('ready');`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script]);
  let said = '';
  const heard = (word: string) => until(() => said.includes(word));
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const closed = once(child, 'close');
  await heard('ready');
  child.kill('SIGINT');
  await heard('asked');
  child.kill('SIGINT');
  expect(await closed).toEqual([null, 'SIGINT']);
  expect(said).toMatch(/^infrasage: ended at once; /m);
});

it('ends fine where it is interrupted when all of the input is in', async () => {
  const path = box.file('last.ndjson', lines(event({ service_id: 'last' })));
  const stdin = createReadStream(path);
  // What the signal calls, at the moment of the end: a signal itself would come by chance before or after it.
  stdin.once('end', () => process.listeners('SIGTERM').at(-1)?.('SIGTERM'));
  const { status, stdout, stderr } = await box.run(['ingest'], { stdin });
  expect({ status, stderr }).toEqual({
    status: 0,
    stderr: 'finishing the batches under way; once more ends at once\n',
  });
  expect(stdout).toMatch(/^1 line = 1 accepted/m);
});

/** Whether a process has begun: on the embedded engine it has the data directory, on a server it is known there. */
async function isIngesting(pid: number): Promise<boolean> {
  if (!ON_SERVER) return existsSync(join(box.dataDir, 'infrasage.lock'));
  const own = await box.sql(`SELECT 1 FROM {{db}}.infrasage_sessions WHERE owner LIKE '%"pid":${pid},%'`);
  return own.length > 0;
}

it('counts once what comes after blank lines, however the input is cut then', async () => {
  const path = box.file('events.ndjson', `\n${event({ service_id: 'a' })}`);
  expect(await ingest([path])).toMatchObject({ lines: 1, accepted: 1 });
  writeFileSync(path, `\n${lines(event({ service_id: 'a' }), event({ service_id: 'b' }))}`);
  expect(await ingest([path])).toMatchObject({ lines: 2, accepted: 1, skipped: 1 });
  expect(await storedServices(box.sql)).toEqual(['a', 'b']);
});

it('takes all of an input that starts like a known one and has a line longer than a batch', async () => {
  const small = ['--max-line', '1000', '--batch-bytes', '2000'];
  const start = 'x'.repeat(3_000);
  const known = box.file('known.ndjson', lines(start + 'y'.repeat(2_000), event()));
  await ingest(['--max-line', '1000', known]);
  const other = box.file(
    'other.ndjson',
    lines(start + 'z'.repeat(2_000), ...Array.from({ length: 20 }, () => event())),
  );
  expect(await ingest([...small, other])).toMatchObject({ lines: 21, accepted: 20, rejected: 1, skipped: 0 });
  const unfinished = box.file('unfinished.ndjson', 'w'.repeat(6_000));
  expect(await ingest([...small, unfinished])).toMatchObject({ rejected: 1, skipped: 0 });
  expect(await ingest([...small, unfinished])).toMatchObject({ rejected: 0, skipped: 1 });
});

it('takes lines over the limit that look blank at first, or end in a carriage return', async () => {
  const blankAtFirst = `${' '.repeat(1_100_000)}{"a":1}`;
  const first = box.file('blank.ndjson', lines(event(), '', blankAtFirst, event({ service_id: 'b' })));
  expect(await ingest([first])).toMatchObject({ lines: 3, accepted: 2, rejected: 1 });
  const second = box.file('return.ndjson', `${lines(event({ service_id: 'c' }))}${'x'.repeat(1_100_000)}\r`);
  expect(await ingest([second])).toMatchObject({ lines: 2, accepted: 1, rejected: 1 });
  expect((await box.run(['verify'])).status).toBe(0);
});

it('prefers what is committed to a larger batch that was given up', async () => {
  const all = Array.from({ length: 30 }, (_, i) => event({ service_id: `s${i}` }));
  const path = box.file('all.ndjson', lines(...all));
  await ingest([box.file('sample.ndjson', lines(...all.slice(0, 5)))]);
  const text = `base64Decode('${readFileSync(path, 'base64')}')`;
  await box.sql(
    `INSERT INTO {{db}}.infrasage_ingest_batches (batch_id, key, previous_key, head, attempt, revision, state, bytes, lines)
    SELECT 'given up#1', lower(hex(SHA256(concat(previous_key, ${text})))), previous_key, head, 1, 2, 'aborted',
      length(${text}), 30 FROM {{db}}.infrasage_ingest_batches WHERE state = 'committed'`,
  );
  expect(await ingest([path])).toMatchObject({ lines: 30, accepted: 25, skipped: 5 });
});

it('recognises a line longer than a batch, however small the batches are', async () => {
  const path = box.file('long.ndjson', lines('x'.repeat(700), event({ trace_id: undefined })));
  const limit = ['--max-line', '138'];
  expect(await ingest([...limit, '--batch-bytes', '140', path])).toMatchObject({ lines: 2, skipped: 0 });
  expect(await ingest([...limit, path])).toMatchObject({ lines: 2, skipped: 2 });
});
