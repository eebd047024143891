import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sandbox, sandbox } from './helpers/cli.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const blocks = (language: string) =>
  [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, text]) => text ?? '');

/** A command of a console block, and what the README shows below it. */
interface Shown {
  command: string;
  output: string[];
}

const shown = blocks('console').flatMap((block) =>
  block
    .split(/^\$ infrasage /m)
    .slice(1)
    .map((text): Shown => {
      const [command = '', ...output] = text.trimEnd().split('\n');
      return { command, output };
    }),
);

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

/** Rows come and go with the date, at the start of a month for one. */
const isRow = (line: string) => line === '…' || /^\S+ +[\d,]+( |$)/.test(line);

const run = (line: string) => {
  const [words = '', file] = line.split(' < ');
  return box.run(words.split(' '), file ? { stdin: { file: join(box.folder, file) } } : {});
};

describe('the README', () => {
  it.each(shown)('shows what $command prints', async ({ command, output }) => {
    const { status, stdout } = await run(command);
    expect(status).toBe(0);
    const printed = stdout.split('\n').map(shape);
    for (const line of output.filter((text) => !isRow(text)).map(shape)) expect(printed).toContain(line);
  });

  it('lists command lines that work as they stand', async () => {
    const lines = blocks('sh').flatMap((block) =>
      block.split('\n').filter((line) => line.startsWith('infrasage ')),
    );
    expect(lines.length).toBeGreaterThanOrEqual(4);
    for (const line of lines) expect(await run(line.replace('infrasage ', ''))).toMatchObject({ status: 0 });
  });

  it('shows an event that is accepted', async () => {
    const [example = ''] = blocks('ndjson');
    const summary = await box.json(['ingest', '--dry-run'], { stdin: example });
    expect(summary).toMatchObject({ lines: 1, accepted: 1 });
  });
});
