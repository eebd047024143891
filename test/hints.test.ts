import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { commandLine, hintFor } from '../src/settings/place.ts';
import { withDataDir } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { removeFolder } from './helpers/kept-engine.ts';

describe('a command line that is named as the next one', () => {
  it.each([
    [{}, 'infrasage dlq list'],
    [{ dataDir: '/data/a-b' }, 'infrasage dlq list --data-dir /data/a-b'],
    [
      { dataDir: "it's here", database: 'm', tenant: '$(id)' },
      `infrasage dlq list --data-dir 'it'\\''s here' --database m --tenant '$(id)'`,
    ],
    [{ clickhouse: 'http://meter:geheim@db:8123' }, 'infrasage dlq list --clickhouse http://meter@db:8123/'],
    [{ clickhouse: 'geheim@' }, `infrasage dlq list --clickhouse '<url>'`],
  ])('repeats %j', (place, line) => {
    expect(commandLine('dlq list', place)).toBe(line);
  });

  it('names a tenant once', () => {
    expect(commandLine('keys create --tenant ID', { tenant: 'acme' })).toBe(
      'infrasage keys create --tenant ID',
    );
  });

  it('in a hint, wherever a command is named', () => {
    const hint = 'infrasage init makes it; see infrasage dlq list, or another infrasage process';
    expect(hintFor(hint, ['init', 'dlq'], { dataDir: 'x' })).toBe(
      'infrasage --data-dir x init makes it; see infrasage --data-dir x dlq list, or another infrasage process',
    );
    expect(hintFor(hint, ['init', 'dlq'], {})).toBe(hint);
  });

  it('in a hint that speaks of the tenant itself, which is left to it', () => {
    const hint = 'the default one is meant without --tenant: infrasage alerts test 80';
    expect(hintFor(hint, ['alerts'], { tenant: 'acme', database: 'm' })).toBe(
      'the default one is meant without --tenant: infrasage --database m alerts test 80',
    );
  });

  it('without the flags that it has itself', () => {
    const place = { dataDir: 'x', database: 'm' };
    expect(hintFor('infrasage init --data-dir y --by hour', ['init'], place)).toBe(
      'infrasage --database m init --data-dir y --by hour',
    );
    expect(hintFor('infrasage init --database-x', ['init'], { database: '$&' })).toBe(
      "infrasage --database '$&' init --database-x",
    );
  });

  it('in findings of doctor and in notes, with names as one word of the shell', () =>
    withDataDir(async (box) => {
      const dataDir = join(box.folder, 'its data');
      const flags = ['--data-dir', dataDir];
      const run = (...args: string[]) => box.run([...flags, ...args], { dataDir: false });
      const fixes = async () => {
        const { stdout } = await run('doctor', '--offline', '--json');
        const { checks } = JSON.parse(stdout) as { checks: { findings: { fix: string }[] }[] };
        return checks.flatMap(({ findings }) => findings.map(({ fix }) => fix));
      };
      expect(await fixes()).toEqual([`infrasage init --data-dir '${dataDir}'`]);
      const added = await run('alerts', 'add', '80', '--tenant', '$(id)', '--slack');
      expect(added.stdout).toContain(`: infrasage --data-dir '${dataDir}' quota set 100M --tenant '$(id)'\n`);
      const [fix] = await fixes();
      expect(fix).toContain(`, or infrasage --data-dir '${dataDir}' alerts add with`);
      const { stdout } = await run('doctor', '--offline');
      expect(stdout).toContain(`  ${fix}\n`);
    }));

  it('in a hint of a command that is about all tenants or none, without the one of this run', () => {
    const hint = 'infrasage usage, infrasage plans apply FILE, or infrasage billing reopen 2026-10';
    expect(hintFor(hint, ['usage', 'plans', 'billing'], { tenant: 'acme' })).toBe(
      'infrasage --tenant acme usage, infrasage plans apply FILE, or infrasage billing reopen 2026-10',
    );
  });

  it('can be pasted as it is printed, by a summary and by a failure', () =>
    withDataDir(async (box) => {
      const dataDir = join(mkdtempSync(join(box.folder, 'it is ')), "o'data");
      const flags = ['--data-dir', dataDir];
      const options = { dataDir: false };
      const stdin = lines(event({ service_id: undefined }));
      const { stdout } = await box.run([...flags, 'ingest'], { ...options, stdin });
      const [, line = ''] = /see the rejected lines: (.*)/.exec(stdout) ?? [];
      const words = [...line.matchAll(/'((?:[^']|'\\'')*)'|(\S+)/g)].map(
        ([, quoted, plain]) => quoted?.replaceAll(`'\\''`, "'") ?? plain ?? '',
      );
      expect(words[0]).toBe('infrasage');
      const listed = await box.run(words.slice(1), options);
      expect(listed.stdout).toMatch(/^missing_service_id /m);
      const failed = await box.run([...flags, 'dlq', 'show', 'none'], options);
      expect(failed.stderr).toContain(`see infrasage --data-dir '${dataDir.replace("'", `'\\''`)}' dlq list`);
      removeFolder(dataDir);
    }));
});
