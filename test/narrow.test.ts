import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import stringWidth from 'string-width';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMANDS } from '../src/commands/index.ts';
import { continued } from '../src/render/command-line.ts';
import { FORMATS } from '../src/render/format.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { everyCommandLine } from './helpers/commands.ts';
import { event, lines } from './helpers/events.ts';
import { activeCharacters } from './helpers/formats.ts';
import { BYTES } from './helpers/hostile.ts';

const COLUMNS = 60;
const TENANT = `tenant-${'x'.repeat(121)}`;
const WIDE = '大家'.repeat(20);
const SERVICE = `service ${'very long '.repeat(24)}`.trim();
const NAME = `${'a-very-long-name-of-a-file-'.repeat(6)}.ndjson`;

const ACTIVE = BYTES.toString('latin1') + BYTES.toString();
/** As an argument: the system has no NUL in one. */
const REASON = ACTIVE.replaceAll('\0', '') + 'r'.repeat(70);

const PLAN = fileURLToPath(new URL('../examples/plan.yaml', import.meta.url));

/** Names as long as they may be, and lines that break every kind of rule. */
function input(): Buffer {
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
  const active = event({
    ...{ tenant_id: 'acme-corp', service_id: 'b', timestamp: at, zz: ACTIVE },
    ...{
      metric_name: ACTIVE,
      body: ACTIVE,
      trace_id: ACTIVE,
      attributes: { team: ACTIVE, [ACTIVE]: ACTIVE },
    },
  });
  const refused = ['tenant_id', 'service_id', 'event_type', 'timestamp', 'value'].map((field) =>
    event({ timestamp: at, [field]: ACTIVE }),
  );
  const text = lines(...good, active, ...bad, ...refused, 'nonsense '.repeat(50));
  return Buffer.concat([Buffer.from(text), BYTES, Buffer.from('\n')]);
}

/** Names that the contract refuses, as other writers may have stored them: of a tenant, a service, a metric and a batch. */
const OTHERS = `INSERT INTO infrasage.infrasage_raw_firehose (tenant_id, timestamp, event_type, service_id, metric_name, batch_id)
  SELECT unhex(x), now64(3), 'metric', unhex(x), unhex(x), unhex(x) FROM (SELECT '${BYTES.toString('hex')}${'78'.repeat(3_000)}' AS x)`;

/** What each command is run with, in this order; `LETTER` and `KEY` are put in. */
const LINES: readonly string[][] = [
  ['init'],
  ['ingest', NAME],
  ['quota', 'set', '1000000000000'],
  ['quota', 'set', '1'],
  ['quota', 'set', '18000000000000000000', '--tenant', TENANT],
  ['quota', 'set', '2', '--tenant', 'acme-corp'],
  ['quota', 'show'],
  ['quota', 'show', '--history'],
  ['quota', 'unset', '--tenant', TENANT],
  ['alerts', 'add', '80', '--slack'],
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
  ['alerts', 'drop', '--all', '--reason', REASON],
  ['alerts', 'undelivered', '--dropped'],
  ['alerts', 'simulate'],
  ['alerts', 'test', '50', '--tenant', 'acme-corp'],
  ['alerts', 'remove', '50', '--tenant', 'acme-corp'],
  ...['event_type', 'service_id', 'hour', 'attributes.team'].map((by) => ['usage', '--by', by]),
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
  ['billing', '--month', '--explain', 'metric', '--tenant', 'acme-corp'],
  ['billing', 'backtest', '--plan', PLAN],
  ['costs', '--by', 'service_id'],
  ['costs', '--by', 'attributes.team', '--storage-price', '99999999', '--currency', 'EUR'],
  ['billing', 'close', '2020-01', '--override', REASON],
  ['billing', 'history'],
  ['billing', 'reopen', '2020-01', '--reason', REASON],
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
  [
    'sql',
    "SELECT tenant_id, metric_name AS `\u001b]0;x\u0007` FROM infrasage_raw_firehose WHERE service_id = 'b'",
  ],
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

/** These change nothing, and can be run once more. */
const LOOKING =
  /^(usage|services|billing --|billing (backtest|history)|costs --by attributes|tenants|plans (list|show)|(quota|dlq|alerts|keys) (list|show$|show --|history|undelivered|simulate)|capacity|sql|top|verify|doctor)/;

const LOUD = { INFRASAGE_JWT_SECRET: '0123456789abcdef'.repeat(4) };

describe(`on a terminal of ${COLUMNS} columns`, () => {
  let box: Sandbox;
  beforeAll(async () => {
    box = sandbox({ initialised: true });
    box.file(NAME, input());
    await box.sql(OTHERS);
  });
  afterAll(() => box.remove());

  /** Lines that are wider than the terminal; what is one word is left whole, to be pasted. */
  const tooWide = (text: string) =>
    stripVTControlCharacters(text)
      .split('\n')
      .filter((line) => stringWidth(line) > COLUMNS && /\S\s+\S/.test(line));

  it('no line of any command is wider, and nothing acts on the terminal, whatever text there is', async () => {
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
      expect({ name, active: activeCharacters(stdout + stderr) }).toEqual({ name, active: [] });
      return stdout;
    };
    const printed: string[] = [];
    for (const args of LINES) printed.push(await run(args));
    // What is typed into the next command is there whole, also where a row is one field a line.
    expect(printed.join('')).toMatch(/^Example +[0-9a-f]{12}\.1-\d+$/m);
    expect(printed.join('')).toMatch(/^Key +isage_\S{43}$/m);
  });

  it('piped, nothing of what only looks is in colour or acts on a terminal, in any format', async () => {
    const env = { ...LOUD, NO_COLOR: undefined, TERM: 'xterm-256color' };
    const looking = LINES.filter((words) => LOOKING.test(words.join(' ')));
    for (const [i, words] of looking.entries()) {
      const format = words.includes('--chart') ? 'table' : (FORMATS[i % FORMATS.length] ?? '');
      const { status, stdout, stderr } = await box.run([...words, '--format', format], { env });
      const name = `${words.join(' ').slice(0, 60)} ${format}`;
      expect([0, 1], `${name}: ${stderr}`).toContain(status);
      expect({ name, active: activeCharacters(stdout + stderr) }).toEqual({ name, active: [] });
    }
  });

  it('that is every command there is', async () => {
    const all = (await everyCommandLine()).map((line) => line.split(' '));
    for (const names of all.filter(([first = '']) => !WITHOUT.includes(first))) {
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
