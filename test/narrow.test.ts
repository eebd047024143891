import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import type { Command } from 'commander';
import stringWidth from 'string-width';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMANDS } from '../src/commands/index.ts';
import { buildProgram } from '../src/program.ts';
import { continued } from '../src/render/command-line.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';

const COLUMNS = 60;
const TENANT = `tenant-${'x'.repeat(121)}`;
const WIDE = '大家'.repeat(20);
const SERVICE = `service ${'very long '.repeat(24)}`.trim();
const NAME = `${'a-very-long-name-of-a-file-'.repeat(6)}.ndjson`;

const PLAN = fileURLToPath(new URL('../examples/plan.yaml', import.meta.url));

/** Names as long as they may be, and lines that break every kind of rule. */
function input(): string {
  const at = new Date().toISOString();
  const good = [TENANT, 'acme-corp', WIDE, 'a\u202e;rm -rf'].flatMap((tenant_id) =>
    [SERVICE, WIDE, 'b'].map((service_id) =>
      event({ tenant_id, service_id, timestamp: at, metric_name: 'm'.repeat(90), zz: 'w'.repeat(200) }),
    ),
  );
  const bad = [TENANT, 'acme-corp'].flatMap((tenant_id) =>
    [
      { service_id: undefined },
      { timestamp: '2099-01-01T00:00:00Z' },
      { event_type: `\u001b[31m${'q'.repeat(300)}` },
      { attributes: 'z '.repeat(80) },
    ].map((wrong) => event({ tenant_id, timestamp: at, ...wrong })),
  );
  return lines(...good, ...bad, 'nonsense '.repeat(50));
}

/** What each command is run with, in this order; `LETTER` and `KEY` are put in. */
const LINES: readonly string[][] = [
  ['init'],
  ['ingest', NAME],
  ['quota', 'set', '1000000000000'],
  ['quota', 'set', '18000000000000000000', '--tenant', TENANT],
  ['quota', 'set', '2', '--tenant', 'acme-corp'],
  ['quota', 'show'],
  ['quota', 'show', '--history'],
  ['quota', 'unset', '--tenant', TENANT],
  ['alerts', 'add', '80'],
  [
    'alerts',
    'add',
    '10',
    '--tenant',
    TENANT,
    '--email',
    `${'someone-'.repeat(6)}@${'very-long.'.repeat(6)}example`,
  ],
  ['alerts', 'add', '50', '--tenant', 'acme-corp', '--slack'],
  ['alerts', 'add', '--silent-for', '1h', '--service', SERVICE, '--tenant', TENANT],
  ['alerts', 'list'],
  ['alerts', 'check'],
  ['alerts', 'history'],
  ['alerts', 'undelivered'],
  ['alerts', 'retry', '--all'],
  ['alerts', 'drop', '--all', '--reason', 'r'.repeat(70)],
  ['alerts', 'undelivered', '--dropped'],
  ['alerts', 'simulate'],
  ['alerts', 'test', '50', '--tenant', 'acme-corp'],
  ['alerts', 'remove', '50', '--tenant', 'acme-corp'],
  ...['event_type', 'service_id', 'hour'].map((by) => ['usage', '--by', by]),
  ['usage', '--chart'],
  ['usage', '--by', 'tenant_id', '--chart'],
  ['services'],
  ['billing', '--month'],
  ['billing', '--month', '--chart'],
  ['plans', 'apply', PLAN],
  ['plans', 'list'],
  ['plans', 'show', 'standard'],
  ['plans', 'assign', 'standard', '--tenant', TENANT],
  ['billing', '--month'],
  ['billing', 'backtest', '--plan', PLAN],
  ['costs', '--by', 'service_id'],
  ['costs', '--by', 'attributes.team', '--storage-price', '99999999', '--currency', 'EUR'],
  ['billing', 'close', '2020-01', '--override', 'r'.repeat(70)],
  ['billing', 'history'],
  ['billing', 'reopen', '2020-01', '--reason', 'r'.repeat(70)],
  ['plans', 'unassign', '--tenant', TENANT],
  ['tenants'],
  ['report', '--month', '--html', 'report.html'],
  ['top', '--once'],
  ['dlq', 'list'],
  ['dlq', 'list', '--each'],
  ['dlq', 'show', 'LETTER'],
  ['dlq', 'export', '--to', 'letters.ndjson'],
  ['dlq', 'replay', '--error', 'missing_service_id', '--set', `service_id=${SERVICE}`, '--dry-run'],
  ['dlq', 'replay', '--error', 'missing_service_id', '--set', `service_id=${SERVICE}`],
  ['dlq', 'show', 'LETTER'],
  ['dlq', 'purge', '--older-than', '2100-01-01', '--dry-run'],
  ['capacity', '--limit', '500GB'],
  ['export', 'usage', '--since', '24h', '--to', 'usage.csv'],
  ['sql', 'SELECT * FROM infrasage_raw_firehose LIMIT 2'],
  ['sql', 'SELECT tenant_id, count() FROM infrasage_raw_firehose GROUP BY 1'],
  ['sql', 'SELECT extra FROM infrasage_raw_firehose LIMIT 1'],
  ['keys', 'create', '--tenant', TENANT, '--name', 'n'.repeat(60)],
  ['keys', 'list'],
  ['keys', 'revoke', 'KEY'],
  ['token', 'create', '--tenant', 'acme-corp', '--role', 'viewer'],
  ['verify'],
  ['recover'],
  ['doctor'],
  ['demo'],
];

/** These print no table: a program that stays, scripts for a shell. */
const WITHOUT = ['serve', 'completion', '__complete', 'help'];

const LOUD = { INFRASAGE_JWT_SECRET: '0123456789abcdef'.repeat(4) };

describe(`on a terminal of ${COLUMNS} columns`, () => {
  let box: Sandbox;
  beforeAll(() => {
    box = sandbox({ initialised: true });
    box.file(NAME, input());
  });
  afterAll(() => box.remove());

  /** Lines that are wider than the terminal; what is one word is left whole, to be pasted. */
  const tooWide = (text: string) =>
    stripVTControlCharacters(text)
      .split('\n')
      .filter((line) => stringWidth(line) > COLUMNS && /\S\s+\S/.test(line));

  it('no line of any command is wider, whatever names there are', async () => {
    const idOf = async (args: string[], list: string) =>
      String((await box.json<Record<string, { id: string }[]>>(args))[list]?.[0]?.id);
    const run = async (args: string[]) => {
      const words = [];
      for (const word of args) {
        if (word === 'LETTER') words.push(await idOf(['dlq', 'list', '--each', '--state', 'all'], 'letters'));
        else if (word === 'KEY') words.push(await idOf(['keys', 'list'], 'keys'));
        else words.push(word);
      }
      const options = { columns: COLUMNS, env: LOUD };
      const { status, stdout, stderr } = await box.run(words, options);
      const name = args.join(' ').slice(0, 60);
      expect([0, 1], `${name}: ${stderr}`).toContain(status);
      expect({ name, wide: tooWide(stdout) }).toEqual({ name, wide: [] });
      return stdout;
    };
    const printed: string[] = [];
    for (const args of LINES) printed.push(await run(args));
    // What is typed into the next command is there whole, also where a row is one field a line.
    expect(printed.join('')).toMatch(/^Example +[0-9a-f]{12}\.1-\d+$/m);
    expect(printed.join('')).toMatch(/^Key +isage_\S{43}$/m);
  });

  it('that is every command there is', async () => {
    const quiet = { writeOut() {}, writeErr() {}, outputError() {} };
    const { command, load } = buildProgram(quiet, () => () => {});
    for (const one of command.commands) await load(one);
    const leaves = (of: Command, above: string[]): string[][] =>
      of.commands.length === 0
        ? [[...above, of.name()]]
        : of.commands.flatMap((one) => leaves(one, [...above, of.name()]));
    const all = command.commands
      .filter((one) => !WITHOUT.includes(one.name()))
      .flatMap((one) => leaves(one, []));
    for (const names of all) {
      expect(
        LINES.some((words) => names.every((name, i) => words[i] === name)),
        names.join(' '),
      ).toBe(true);
    }
  });

  it('no help is wider, and its examples can be pasted', async () => {
    for (const { name } of COMMANDS) {
      const { stdout } = await box.run([name, '--help'], { columns: COLUMNS });
      expect({ name, wide: tooWide(stdout) }).toEqual({ name, wide: [] });
    }
    const { stdout } = await box.run(['alerts', 'add', '--help'], { columns: COLUMNS });
    expect(stdout.replaceAll(/ \\\n +/g, ' ')).toContain(
      '\n  infrasage alerts add 95 --tenant acme-corp --email billing@acme.example --slack\n',
    );
  });
});

it('a command line is broken between its words, and inside quotes only where it must be', () => {
  expect(continued('a --name "edge collector" --on', 20)).toEqual([
    'a --name "edge \\',
    '    collector" \\',
    '    --on',
  ]);
  expect(continued('a --name "edge collector" --on', 24)).toEqual([
    'a --name \\',
    '    "edge collector" \\',
    '    --on',
  ]);
  expect(continued('a --name "edge collector" --on', 30)).toEqual(['a --name "edge collector" --on']);
});
