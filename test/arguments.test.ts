import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { expectFailure } from './helpers/failure.ts';

const isRoot = process.getuid?.() === 0;

describe('without a data directory', () => {
  let box: Sandbox;
  beforeAll(() => {
    box = sandbox();
  });
  afterAll(() => box.remove());

  test('--version', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    expect(await box.apart(['--version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });

  test('--help lists every command with what it does, and shows the main job', async () => {
    const { status, stdout, stderr } = await box.apart(['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const command of ['ingest', 'usage', 'services', 'billing', 'tenants', 'quota', 'alerts', 'dlq']) {
      expect(stdout).toMatch(new RegExp(`^ {2}${command} +\\S`, 'm'));
    }
    for (const line of ['ingest < events.ndjson', 'usage --since 24h', 'billing --month', 'alerts add 80']) {
      expect(stdout).toContain(`  infrasage ${line}\n`);
    }
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  test.each([
    [
      ['ingest', '--help'],
      ['--max-line <bytes>', '--dry-run', 'infrasage ingest < events.ndjson'],
    ],
    [
      ['usage', '--help'],
      ['--since <time>', '--by <grouping>', 'infrasage usage --since 24h'],
    ],
    [
      ['help', 'usage'],
      ['--since <time>', '--by <grouping>', 'infrasage usage --since 24h'],
    ],
    [
      ['alerts', 'add', '--help'],
      ['--email <address>', '1 to 1000'],
    ],
    [
      ['dlq', '--help'],
      ['list', 'show', 'infrasage dlq list'],
    ],
  ])('%j has the options and examples', async (args, texts) => {
    const { status, stdout, stderr } = await box.run(args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const text of texts) expect(stdout).toContain(text);
  });

  test('nothing asked for: the help, on standard error, exit 2', async () => {
    const { status, stdout, stderr } = await box.apart([], { dataDir: false });
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('Usage: infrasage');
  });

  test.each([
    ['usgae', 'usage'],
    ['igest', 'ingest'],
    ['biling --month', 'billing'],
    ['usage --sinse 24h', '--since'],
    ['ingest --dryrun x', '--dry-run'],
    ['alerts ad 80', 'add'],
    ['--jsn usage', '--json'],
  ])('mistyped: %s, did you mean %s?', async (line, meant) => {
    const { status, stdout, stderr } = await box.run(line.split(' '));
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^infrasage: unknown (command|option) '/);
    expect(stderr).toContain(`(Did you mean ${meant}?)`);
    expect(stderr).not.toMatch(/^ +at /m);
  });

  test.each([
    ['usage --since yesterday', /--since yesterday is not a time/],
    ['usage --since 2026-02-30', /--since 2026-02-30 is not a time/],
    ['usage --since 2024-01-01T25:00:00Z', /--since .* is not a time/],
    ['usage --since 99999999999w', /--since 99999999999w is not a time/],
    ['usage --since 2024-01-02 --until 2024-01-02', /--since 2024-01-02 is not before --until 2024-01-02/],
    ['usage --since 1y', /--since 1y is not a time; the units are m, h, d and w/],
    ['ingest --max-age 30s', /--max-age 30s is not a time span; the units are m, h, d and w/],
    ['billing 2026-11', /billing does not take 2026-11; infrasage billing --month 2026-11$/m],
    ['report 2026-11', /; infrasage report --month 2026-11 --html report.html$/m],
    ['billing --month 2026-11 acme', /billing does not take acme; infrasage billing --help/],
    ['sql SHOW TABLES', /put the statement in quotes: infrasage sql "SHOW TABLES"/],
    ['completion powershell', /there is no completion for powershell; use one of bash, zsh, fish/],
    ['usage --by color', /--by color is not a grouping; use one of event_type, /],
    ['usage --format xml', /--format xml is not a format; use one of table, json, ndjson, csv, markdown$/m],
    ['costs --format xml', /use one of table, json, ndjson, csv, markdown, focus-csv$/m],
    ['--database 1st usage', /--database or INFRASAGE_DATABASE must be letters, .* \(given: 1st\)$/m],
    ['usage --json --format csv', /contradict/],
    ['services --limit 0', /--limit 0 is not a number of rows/],
    ['services --limit ten', /--limit ten is not a number of rows/],
    ['dlq list --limit 1e21', /--limit 1e21 is not a number of rows/],
    ['billing', /billing needs the month/],
    ['billing --month 2026-13', /--month 2026-13 is not a month/],
    ['billing --month 26-01', /--month 26-01 is not a month/],
    ['billing --month 0026-01', /--month 0026-01 is not a month/],
    ['ingest --max-line 1', /--max-line must be at least 2 bytes/],
    ['ingest --max-line big', /--max-line must be a number of bytes/],
    ['ingest --max-age 5', /--max-age 5 is not a time span/],
    ['ingest --max-age 0.001m', /--max-age 0.001m/],
    ['ingest --flush-interval 0', /--flush-interval 0 is not/],
    ['ingest --default-type metrics', /--default-type must be one of metric, log, /],
    ['ingest - -', /standard input \(-\) can be read only once/],
    ['alerts add 80 --email nobody', /--email nobody is not an e-mail address/],
    ['alerts add 80 --webhook http://acme.example', /the webhook must be an https URL/],
    ['--database 1st usage', /--database .*must be letters, digits and underscores/],
  ])('a bad value: %s', async (line, words) => {
    expectFailure(await box.run(line.split(' ')), 2, words);
  });

  test('a bad tenant', async () => {
    for (const tenant of ['', 'a\u0007b', 'x'.repeat(129)]) {
      expectFailure(
        await box.run(['usage', `--tenant=${tenant}`]),
        2,
        /--tenant .*must be 1 to 128 characters/,
      );
    }
    expectFailure(
      await box.run(['usage'], { env: { INFRASAGE_TENANT: '\u001b[31m' } }),
      2,
      /INFRASAGE_TENANT must be 1 to 128 characters/,
    );
  });

  test('none of that has made a data directory: wrong usage is found out before', () => {
    expect(existsSync(box.dataDir)).toBe(false);
  });

  test('input that cannot be read', async () => {
    expectFailure(await box.apart(['ingest', 'nowhere.ndjson']), 3, /there is no file nowhere\.ndjson/);
    expectFailure(await box.run(['ingest', box.folder]), 3, /is a directory; name the files in it/);
    const file = box.file('file', '');
    const under = await box.run(['ingest', join(file, 'events.ndjson')]);
    expectFailure(under, 3, /file\/events\.ndjson/);
    expect(under.stderr).not.toMatch(/cut short|damaged/);
  });

  test.skipIf(isRoot)('input that may not be read', async () => {
    const path = box.file('secret.ndjson', lines(event()));
    chmodSync(path, 0);
    expectFailure(await box.run(['ingest', path]), 3, /no permission to read .*secret\.ndjson/);
  });
});
