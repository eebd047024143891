import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { recordedSchema, recordVersions } from '../src/store/data-dir.ts';
import { migrate } from '../src/store/migrate.ts';
import type { Store } from '../src/store/store.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';

const HOLD = `import { Session } from 'chdb';
const session = new Session(process.argv[1]);
session.query('SELECT 1');
process.stdout.write('open');
process.stdin.on('end', () => session.close()).resume();`;

let box: Sandbox;
const holders: ChildProcess[] = [];
beforeEach(() => {
  box = sandbox();
});
afterEach(() => {
  for (const holder of holders.splice(0)) holder.kill('SIGKILL');
  box.remove();
});

/** A program that knows the engine and nothing of infrasage opens a data directory; returns how to end it. */
async function openedByAnother(dataDir: string): Promise<() => Promise<void>> {
  const holder = spawn(process.execPath, ['--input-type=module', '--eval', HOLD, dataDir], {
    cwd: dirname(fileURLToPath(import.meta.url)),
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  holders.push(holder);
  const ended = new Promise<void>((resolve) => holder.once('exit', () => resolve()));
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  return () => {
    holder.stdin.end();
    return ended;
  };
}

/** Every file of a folder with its size and when it was changed. */
function contents(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => [name, statSync(join(folder, name))] as const)
    .filter(([, status]) => status.isFile())
    .map(([name, { size, mtimeMs }]) => `${name} ${size} ${mtimeMs}`)
    .sort();
}

it.skipIf(process.platform !== 'linux')(
  'touches nothing where another program has the data directory, and removes a mark of a full disk where none has',
  async () => {
    await box.run(['ingest', box.file('events.ndjson', lines(event()))]);
    const close = await openedByAnother(box.dataDir);
    const table = readdirSync(join(box.dataDir, 'store'), { recursive: true, encoding: 'utf8' }).find(
      (name) => name.endsWith('format_version.txt'),
    );
    if (!table) throw new Error('no table');
    const mark = join(box.dataDir, 'store', dirname(table), 'mutation_7.txt');
    writeFileSync(mark, '');
    const before = contents(box.dataDir);
    const refused = await box.run(['usage', '--since', '2020-01-01']);
    expect(refused).toMatchObject({ status: 3, stdout: '' });
    expect(refused.stderr).toContain(
      `the data directory ${box.dataDir} is in use by another program; wait until`,
    );
    expect(contents(box.dataDir)).toEqual(before);
    await close();
    expect(await box.json(['usage', '--since', '2020-01-01'])).toMatchObject({ total_events: 1 });
    expect(existsSync(mark)).toBe(false);
  },
);

it('does not take a schema for known of which a change was begun and not finished', async () => {
  const written = (schema?: string) =>
    recordVersions(box.folder, {
      engine: '26.7.2.1',
      package: 'chdb 3.4.0',
      database: 'usage',
      ...(schema ? { schema } : {}),
    });
  written('before');
  const store: Pick<Store, 'database' | 'command'> = {
    database: 'usage',
    command: () => Promise.reject(new Error('killed')),
  };
  await expect(migrate(store as Store, box.folder)).rejects.toThrow('killed');
  written();
  expect(recordedSchema(box.folder, 'usage')).toBeUndefined();
});
