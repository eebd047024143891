import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { serverVariables } from '../config.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitStatus } from '../errors.ts';
import { write } from '../io.ts';
import { packageFile } from '../package.ts';
import { jsonText, jsonValue } from '../render/json.ts';
import { calledAs } from '../settings/place.ts';
import { dropDatabase } from '../store/server/open-server.ts';
import { type CommandModule, examples } from './command.ts';

/** The commands that the demo runs, as a person would type them. */
const TOUR: readonly string[] = [
  'ingest < events.ndjson',
  'usage --since 24h',
  'billing --month',
  'services --since 7d --limit 10',
  'dlq list --limit 5',
];

export const configure: CommandModule['configure'] = (command, act) => {
  command.option('--events', 'print the example events, dated up to now, and run nothing');
  examples(command, ['infrasage demo', 'infrasage demo --events > events.ndjson']);
  act<{ events?: boolean }>(command, async (context, { events }) => {
    const example = await exampleEvents(context.now);
    if (events) {
      await write(context.io.stdout, example);
      return EXIT.ok;
    }
    return tour(context, example);
  });
};

/** What a command of the tour printed, as JSON. */
interface Step {
  command: string;
  result: unknown;
}

async function tour(context: Context, example: string): Promise<ExitStatus> {
  const { clickhouse } = context.config;
  const dataDir = await mkdtemp(join(tmpdir(), 'infrasage-demo-'));
  // A database of its own, so that no example is ever billed.
  const database = clickhouse ? `infrasage_demo_${randomBytes(6).toString('hex')}` : 'infrasage';
  const { format } = context.config;
  const isJson = format === 'json' || format === 'ndjson';
  const steps: Step[] = [];
  const program = calledAs(context.io.env);
  try {
    for (const line of TOUR) {
      if (!isJson) await write(context.io.stdout, `\n$ ${program} ${line}\n`);
      const [words = '', file] = line.split(' < ');
      const stdin = file ? Readable.from([Buffer.from(example)]) : context.io.stdin;
      const captured = isJson ? new PassThrough() : undefined;
      // Read as it is written: it holds only so much.
      const printed = captured && text(captured);
      const status = await context.runCommand(
        ['--format', isJson ? 'json' : format, ...words.split(' ')],
        {
          ...context.io,
          stdin,
          stdout: captured ?? context.io.stdout,
          env: {
            ...context.io.env,
            ...serverVariables(clickhouse),
            INFRASAGE_DATA_DIR: dataDir,
            INFRASAGE_DATABASE: database,
          },
        },
        // They would be about what is removed at the end.
        { hints: false },
      );
      captured?.end();
      if (status !== EXIT.ok) return status;
      if (printed) steps.push({ command: `infrasage ${line}`, result: jsonValue(await printed) });
    }
    if (isJson) {
      const rows = steps.map(({ command, result }) => ({ command, result: jsonText(result) }));
      return context.print({ data: { steps }, rows, columns: [] });
    }
    const place = clickhouse ? 'database' : 'data directory';
    await write(
      context.io.stdout,
      `\nThat ran on example events in a temporary ${place},\nnow removed. With any NDJSON of yours, or with these:\n` +
        `  ${context.commandLine('demo --events > events.ndjson', { tenant: false })}\n` +
        `  ${context.commandLine('ingest < events.ndjson', { tenant: false })}\n`,
    );
    return EXIT.ok;
  } finally {
    if (clickhouse) await dropDatabase(clickhouse, database);
    await rm(dataDir, { recursive: true, force: true });
  }
}

const TIMESTAMP = /"timestamp":\s*"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z)"/g;

/** The shipped events with all timestamps moved by as much as brings the newest to now. */
async function exampleEvents(now: Date): Promise<string> {
  const text = await readFile(packageFile('examples/events.ndjson'), 'utf8');
  const newest = Math.max(
    ...[...text.matchAll(TIMESTAMP)]
      .map(([, time]) => Date.parse(time ?? ''))
      .filter((time) => !Number.isNaN(time)),
  );
  const shift = now.getTime() - newest;
  return text.replace(TIMESTAMP, (field: string, time: string) => {
    const moved = Date.parse(time) + shift;
    return Number.isNaN(moved) ? field : field.replace(time, new Date(moved).toISOString());
  });
}
