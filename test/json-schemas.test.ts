import { readdirSync, readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { everyCommandLine } from './helpers/commands.ts';
import { event, lines } from './helpers/events.ts';
import { type Receiver, receiver, status } from './helpers/receivers.ts';

const FOLDER = new URL('../docs/json/', import.meta.url);

/** What prints no document of its own: scripts, tokens, a server. */
const NO_JSON = ['serve', 'completion', '__complete', 'token create', 'dlq export', 'help'];

const NOW = new Date().toISOString();

describe('what is printed with --json', () => {
  let box: Sandbox;
  let hook: Receiver;
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  const checked = new Set<string>();

  beforeAll(async () => {
    box = sandbox();
    hook = await receiver();
  });
  afterAll(async () => {
    await box.remove();
    await hook.close();
  });

  /** Runs a command line with --json, and holds what it prints against the schema of its command. */
  async function printed(line: string, { stdin = '', words }: { stdin?: string; words?: string } = {}) {
    const args = line.match(/"[^"]*"|\S+/g)?.map((word) => word.replaceAll('"', '')) ?? [];
    const env = { INFRASAGE_WEBHOOK_ALLOW_HOSTS: hook.host, INFRASAGE_WEBHOOK_SECRET: 'key' };
    const { stdout, stderr, status: ended } = await box.run([...args, '--json'], { stdin, env });
    expect(ended, stderr).toBeLessThan(2);
    const document = JSON.parse(stdout) as Record<string, never>;
    const command = words ?? args.filter((word) => !word.startsWith('-'))[0] ?? '';
    const schema: unknown = JSON.parse(
      readFileSync(new URL(`${command.replace(' ', '-')}.schema.json`, FOLDER), 'utf8'),
    );
    const valid = ajv.validate(schema as object, document);
    expect({ line, errors: ajv.errors, valid, document }).toMatchObject({ errors: null, valid: true });
    checked.add(command);
    return document;
  }

  it('is of the shape that docs/json says', async () => {
    await printed('init');
    await printed('quota set 2 --bytes 1TB', { words: 'quota set' });
    await printed(`alerts add 80 --webhook ${hook.url}/hook`, { words: 'alerts add' });
    await printed('alerts add --silent-for 2h --service a', { words: 'alerts add' });
    const events = lines(
      event({ timestamp: NOW }),
      event({ timestamp: NOW, tenant_id: 'other' }),
      event({ timestamp: NOW, event_type: 'log' }),
      'no json',
      '{"tenant_id":"\u00ff"}',
    );
    await printed('ingest', { stdin: events });
    await printed('ingest --dry-run', { stdin: events });
    for (const by of ['event_type', 'service_id', 'tenant_id', 'hour', 'day', 'month', 'attributes.team'])
      await printed(`usage --since 24h --by ${by}`);
    await printed('usage --since 24h --tenant acme-corp');
    await printed('services');
    await printed('billing --month');
    await printed('billing --month --tenant acme-corp');
    await printed('billing --month --tenant acme-corp --explain metric --limit 1');
    box.file('plan.yaml', 'name: standard\ncurrency: EUR\nbase_fee: 1\n');
    await printed('plans apply plan.yaml', { words: 'plans apply' });
    await printed('plans list', { words: 'plans list' });
    await printed('plans assign standard', { words: 'plans assign' });
    await printed('plans list', { words: 'plans list' });
    await printed('plans show standard', { words: 'plans show' });
    await printed('billing --month');
    await printed('billing --month --tenant acme-corp');
    box.file('full.yaml', readFileSync(new URL('../examples/plan.yaml', import.meta.url)));
    await printed('billing --month --plan full.yaml');
    await printed('billing backtest --plan plan.yaml --months 1', { words: 'billing backtest' });
    await printed('costs');
    await printed('costs --by event_type --tenant acme-corp');
    await printed('costs --by attributes.team --storage-price 0.1 --currency EUR');
    for (const name of ['telemetry.1', 'base_fee', 'minimum'])
      await printed(`billing --month --tenant acme-corp --plan full.yaml --explain ${name}`);
    await printed('plans apply plan.yaml --from 2024-01', { words: 'plans apply' });
    await printed('plans assign standard --tenant acme-corp --from 2024-01', { words: 'plans assign' });
    await printed('billing close 2024-01', { words: 'billing close' });
    const late = { timestamp: '2024-01-28T10:00:00Z' };
    await printed('ingest', { stdin: lines(event(late), event({ ...late, tenant_id: 'other' })) });
    const closed = await printed('billing --month 2024-01');
    const next = await printed('billing --month 2024-02');
    expect([Object.keys(closed), Object.keys(next)]).toEqual([
      expect.arrayContaining(['closed_at', 'invoices']),
      expect.arrayContaining(['adjustments']),
    ]);
    await printed('billing reopen 2024-01 --reason test', { words: 'billing reopen' });
    await printed('billing history', { words: 'billing history' });
    await printed('plans unassign', { words: 'plans unassign' });
    await printed('report --month --html page.html');
    await printed('export usage --to usage.csv', { words: 'export' });
    await printed('export dlq --to letters.parquet', { words: 'export' });
    await printed('capacity');
    await printed('capacity --limit 1TB --tenant acme-corp');
    await printed('top');
    await printed('top --tenant acme-corp');
    await printed('tenants');
    await printed('quota show', { words: 'quota show' });
    await printed('quota show --history', { words: 'quota show' });
    await printed('alerts list', { words: 'alerts list' });
    await printed('alerts check', { words: 'alerts check' });
    await printed('alerts test 80', { words: 'alerts test' });
    await printed('alerts history', { words: 'alerts history' });
    await printed(`alerts add 101 --webhook ${hook.url}/hook`, { words: 'alerts add' });
    hook.answers.push(status(500), status(500));
    await printed('ingest', { stdin: lines(event({ timestamp: NOW, value: 7 })) });
    const { messages } = await printed('alerts undelivered', { words: 'alerts undelivered' });
    const [{ message_id } = {}] = messages as unknown as { message_id?: string }[];
    await printed(`alerts retry ${message_id}`, { words: 'alerts retry' });
    await printed(`alerts drop ${message_id} --reason test`, { words: 'alerts drop' });
    await printed('alerts history', { words: 'alerts history' });
    await printed('alerts simulate 50', { words: 'alerts simulate' });
    await printed('alerts remove 80', { words: 'alerts remove' });
    await printed('dlq list', { words: 'dlq list' });
    const { letters } = await printed('dlq list --each', { words: 'dlq list' });
    const show = async () => {
      for (const { id } of letters as unknown as { id: string }[])
        await printed(`dlq show ${id}`, { words: 'dlq show' });
    };
    await show();
    const fixed =
      '--set tenant_id=acme-corp --set service_id=a --set event_type=log --set timestamp=2024-02-28T10:00:00Z';
    await printed(`dlq replay --dry-run ${fixed}`, { words: 'dlq replay' });
    await printed(`dlq replay ${fixed}`, { words: 'dlq replay' });
    await show();
    await printed('dlq purge --older-than 2100-01-01 --force', { words: 'dlq purge' });
    const { id } = await printed('keys create --tenant acme-corp --name k', { words: 'keys create' });
    await printed('keys list', { words: 'keys list' });
    await printed(`keys revoke ${String(id)}`, { words: 'keys revoke' });
    await printed('sql "SELECT tenant_id, count() AS n FROM infrasage_raw_firehose GROUP BY tenant_id"');
    await printed('verify');
    await printed('verify --repair');
    await printed('verify --repair --dry-run');
    await printed('recover');
    await printed('doctor --offline');
    await printed('quota unset', { words: 'quota unset' });
    await printed('demo');
  });

  it('of every command was looked at, and has a schema', async () => {
    const documented = readdirSync(FOLDER).map((name) => name.replace('.schema.json', ''));
    expect([...checked].map((words) => words.replace(' ', '-')).sort()).toEqual(documented.sort());
    const looked = new Set([...checked, ...NO_JSON]);
    // What is exported decides the rows, not what is said of it.
    const all = (await everyCommandLine()).map((line) => line.replace(/^export .*/, 'export'));
    expect(all.filter((line) => !looked.has(line))).toEqual([]);
  });

  it('the schemas are made of the shapes: npm run schemas', async () => {
    const { schemas, textOf } = await import('../tools/json-schemas.js');
    const expected = Object.entries(schemas()).map(([name, schema]) => [name, textOf(schema)]);
    const found = readdirSync(FOLDER).map((name) => [name, readFileSync(new URL(name, FOLDER), 'utf8')]);
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
  });
});
