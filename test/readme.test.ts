import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signature } from '../src/alerts/channels/webhook.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { releaseEngine } from './helpers/kept-engine.ts';

const document = (name: string) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
const readme = document('README.md');
const blocks = (language: string, text = readme) =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, block]) => block ?? '');
/** The command lines of a document, without the program's name and comments. */
const commandLines = (text: string) =>
  blocks('sh', text)
    .flatMap((block) => block.split('\n').filter((line) => line.startsWith('infrasage ')))
    .map((line) => line.replace('infrasage ', '').replace(/ +#.*$/, ''));

/** A command of a console block, and what the README shows below it. */
interface Shown {
  command: string;
  output: string[];
}

const shownIn = (text: string) =>
  blocks('console', text).flatMap((block) =>
    block
      .split(/^\$ infrasage /m)
      .slice(1)
      .map((one): Shown => {
        const [command = '', ...output] = one.trimEnd().split('\n');
        return { command, output };
      }),
  );

const BIN = fileURLToPath(new URL('../bin/infrasage.js', import.meta.url));

/** The names in an answer, as deep as they go; of rows, those of the first. */
function keys(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(keys);
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, keys(inner)]));
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

let box: Sandbox;
beforeAll(async () => {
  box = sandbox();
  const events = await box.run(['demo', '--events'], { dataDir: false });
  box.file('events.ndjson', events.stdout);
});
afterAll(() => box.remove());

/** Figures, ids and times differ from run to run; words and the order of columns do not. */
const shape = (line: string) =>
  line
    .replace(/[0-9a-f]{12}/g, '#')
    .replace(/[\d.,:TZ-]*\d[\d.,:TZ-]*/g, '#')
    .replace(/\b(B|KiB|MiB)\b/g, 'B')
    .replace(/\s+/g, ' ')
    .trim();

/** Rows and alerts come and go with the date, at the start of a month for one. */
const isRow = (line: string) => line === '…' || /^(\S+ +[\d,]+( |$)|Alert: )/.test(line);

const run = (line: string) => {
  const [words = '', file] = line.split(' < ');
  return box.run(words.split(' '), file ? { stdin: { file: join(box.folder, file) } } : {});
};

describe('the README', () => {
  it.each(shownIn(readme))('shows what $command prints', async ({ command, output }) => {
    const { status, stdout } = await run(command);
    expect(status).toBe(0);
    const printed = stdout.split('\n').map(shape);
    for (const line of output.filter((text) => !isRow(text)).map(shape)) expect(printed).toContain(line);
  });

  it('lists command lines that work as they stand', async () => {
    const all = commandLines(readme);
    expect(all.length).toBeGreaterThanOrEqual(4);
    for (const line of all) expect(await run(line)).toMatchObject({ status: 0 });
  });

  it('brings the API to its first answer in less than five commands, as shown', async () => {
    const block = blocks('sh').find((text) => text.includes('infrasage serve')) ?? '';
    const commands = block.trimEnd().split('\n');
    expect(commands[0]).toBe('npm install');
    expect(commands.length).toBeLessThan(5);
    const port = await freePort();
    const script = commands
      .slice(1)
      .join('\n')
      .replaceAll('npx infrasage', `"${process.execPath}" "${BIN}" --data-dir "${box.dataDir}"`)
      .replaceAll('localhost:8080', `localhost:${port}`)
      .replaceAll('serve.log', join(box.folder, 'serve.log'));
    releaseEngine();
    const { stdout } = await promisify(execFile)('sh', ['-c', `${script}\nkill $!; wait $!`], {
      env: { PATH: process.env.PATH, HOME: box.folder, INFRASAGE_PORT: String(port) },
    });
    const [text = ''] = blocks('json');
    expect(keys(JSON.parse(stdout))).toEqual(keys(JSON.parse(text)));
  });

  it('shows an event that is accepted', async () => {
    const [example = ''] = blocks('ndjson');
    const summary = await box.json(['ingest', '--dry-run'], { stdin: example });
    expect(summary).toMatchObject({ lines: 1, accepted: 1 });
  });
});

describe.each([
  ['docs/configuration.md', 3],
  ['docs/troubleshooting.md', 4],
  ['docs/json.md', 3],
])('%s', (name, least) => {
  // Counted once, whoever has ingested them before.
  beforeAll(() => run('ingest events.ndjson'));

  it('lists command lines that work as they stand', async () => {
    const all = commandLines(document(name));
    expect(all.length).toBeGreaterThanOrEqual(least);
    for (const line of all) {
      const words = line.match(/"[^"]*"|\S+/g)?.map((word) => word.replaceAll('"', '')) ?? [];
      const redirected = words.indexOf('>');
      const { status, stderr } = await box.run(redirected < 0 ? words : words.slice(0, redirected));
      expect(status, `${line}: ${stderr}`).toBe(0);
    }
  });
});

describe('docs/dead-letters.md', () => {
  const text = document('docs/dead-letters.md');

  it.each(shownIn(text))('shows what $command prints', async ({ command, output }) => {
    await run('ingest < events.ndjson');
    const { groups } = await box.json<{ groups: { example: string }[] }>(['dlq', 'list']);
    // The events are dated up to now, and letters are named after their bytes.
    const batch = groups[0]?.example.slice(0, 12) ?? '';
    const { status, stdout } = await run(command.replace(/[0-9a-f]{12}(?=\.1-)/, batch));
    expect(status).toBe(0);
    const printed = stdout.split('\n').map(shape);
    for (const line of output.filter((text) => !isRow(text)).map(shape)) expect(printed).toContain(line);
  });

  it('lists command lines that work as they stand', async () => {
    const all = commandLines(text);
    expect(all.length).toBeGreaterThan(0);
    for (const line of all) expect(await run(line.replace(/ > .*/, ''))).toMatchObject({ status: 0 });
  });
});

describe('docs/ingest.md', () => {
  it('lists command lines that work as they stand', async () => {
    const events = readFileSync(join(box.folder, 'events.ndjson'));
    box.file('monday.ndjson', events.subarray(0, 10_000));
    box.file('tuesday.ndjson.gz', gzipSync(events));
    const all = commandLines(document('docs/ingest.md'));
    expect(all.length).toBeGreaterThanOrEqual(6);
    for (const line of all) expect(await run(line)).toMatchObject({ status: 0 });
  });
});

describe('docs/alerts.md', () => {
  const text = document('docs/alerts.md');

  it('lists command lines that work as they stand', async () => {
    const all = commandLines(text);
    expect(all.length).toBeGreaterThanOrEqual(8);
    for (const line of all) expect(await run(line)).toMatchObject({ status: 0 });
  });

  it('shows how a receiver verifies a signature', async () => {
    const [code = ''] = blocks('js', text);
    const { isFromInfrasage } = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as {
      isFromInfrasage(header: string, body: string, secret: string): boolean;
    };
    const body = '{"id":"1"}';
    const signed = signature(body, { secret: 'key', now: new Date() });
    expect(isFromInfrasage(signed, body, 'key')).toBe(true);
    expect(isFromInfrasage(signed, `${body} `, 'key')).toBe(false);
    expect(isFromInfrasage(signed, body, 'other')).toBe(false);
    const old = signature(body, { secret: 'key', now: new Date(Date.now() - 600_000) });
    expect(isFromInfrasage(old, body, 'key')).toBe(false);
  });
});

describe('docs/reports.md', () => {
  const text = document('docs/reports.md');

  it('lists command lines that work as they stand', async () => {
    const shownThere = [...text.matchAll(/^\$ infrasage (.*)$/gm)].map(([, line]) => line ?? '');
    const all = [...commandLines(text), ...shownThere];
    expect(all.length).toBeGreaterThanOrEqual(13);
    await run('ingest events.ndjson');
    for (const line of all) expect(await run(line)).toMatchObject({ status: 0 });
  });
});

describe('of the demo events and the plan of examples/, what is shown', () => {
  const names = ['docs/costs.md', 'docs/capacity.md', 'docs/export.md'];
  let own: Sandbox;
  beforeAll(async () => {
    own = sandbox({ initialised: true });
    await own.json(['ingest', join(box.folder, 'events.ndjson')]);
    own.file('plan.yaml', document('examples/plan.yaml'));
    await own.json(['plans', 'apply', 'plan.yaml']);
    await own.json(['plans', 'assign', 'standard']);
  });
  afterAll(() => own.remove());

  it.each(names.flatMap((name) => shownIn(document(name)).map((shown) => ({ name, ...shown }))))(
    'in $name is what $command prints',
    async ({ command, output }) => {
      const { status, stdout, stderr } = await own.run(command.split(' '));
      expect({ status, stderr }).toMatchObject({ status: 0 });
      // A line may be broken where the page is narrower.
      const printed = shape(stdout.replaceAll('\n', ' '));
      for (const line of output.filter((text) => text !== '' && !isRow(text)).map(shape))
        expect(printed).toContain(line);
    },
  );

  it.each(names.filter((name) => commandLines(document(name)).length > 0))(
    'as command lines in %s works as it stands',
    async (name) => {
      for (const line of commandLines(document(name)))
        expect({ line, ...(await own.run(line.replace(/ > .*/, '').split(' '))) }).toMatchObject({
          status: 0,
        });
    },
  );
});
