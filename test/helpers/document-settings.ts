import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, inject } from 'vitest';
import { until } from './cli.ts';
import type { Place } from './document-place.ts';
import { blocksOf, documentText, type Step, shape } from './documents.ts';
import { event, lines } from './events.ts';
import type { CliResult } from './inside.ts';
import { releaseEngine } from './kept-engine.ts';
import { pdfPages } from './pdf.ts';

/** What the commands of a page, or of a part of it, find in their folder, and what happens between them. */
export interface Setting {
  /** The heading that the part begins with; the start of the page where it is not given. */
  from?: string;
  /** Whether the clock is that of the machine: for processes of their own, which have no other. */
  realClock?: boolean;
  given?(place: Place): Promise<unknown>;
  /** By the step's title; so are the others. */
  before?: Record<string, (place: Place) => Promise<unknown>>;
  after?: Record<string, (place: Place) => Promise<unknown>>;
  /** How a command ends that does not end with 0. */
  status?: Record<string, number>;
  /** What does in the place of running a command alone. */
  instead?: Record<string, (place: Place, step: Step) => Promise<CliResult>>;
}

/** The example events, ingested: once for all that have the same clock, the others have a copy. */
const ingested = async ({ box, now, run }: Place) => {
  const made = join(inject('templates'), `ingested-${now?.getTime()}`);
  if (now && existsSync(made)) {
    rmSync(box.dataDir, { recursive: true });
    cpSync(made, box.dataDir, { recursive: true });
    return;
  }
  await run('ingest < events.ndjson');
  if (now === undefined) return;
  releaseEngine();
  cpSync(box.dataDir, made, { recursive: true });
};

const planned = async (place: Place) => {
  await ingested(place);
  place.box.file('plan.yaml', documentText('examples/plan.yaml'));
  await place.run('plans apply plan.yaml');
  await place.run('plans assign standard');
};

const limited = async (place: Place) => {
  await ingested(place);
  await place.run('quota set 1500 --tenant acme-corp');
  await place.run('quota set 1000 --tenant globex');
  await place.run('alerts add 80');
};

/** A month before this one, and this one in two files. */
const billed = async (place: Place) => {
  const { box, now } = place;
  if (now === undefined) throw new Error('the months of bills are of a clock that is given');
  const monthBefore = new Date(now);
  monthBefore.setUTCMonth(now.getUTCMonth() - 1);
  const earlier = await place.events(monthBefore);
  box.file('earlier.ndjson', earlier);
  box.file('late.ndjson', lines(...Array.from({ length: 40 }, (_, i) => lateEvent(monthBefore, i))));
  const all = (await place.events(now)).split('\n');
  box.file('a.ndjson', lines(...all.slice(0, 1500)));
  box.file('b.ndjson', lines(...all.slice(1500, -1)));
  await place.run('ingest earlier.ndjson a.ndjson b.ndjson');
  for (const name of ['plan.yaml', 'new.yaml']) box.file(name, documentText('examples/plan.yaml'));
  await place.run('plans apply plan.yaml --from 2026-10');
  await place.run('plans assign standard --from 2026-10');
};

const lateEvent = (at: Date, i: number) =>
  event({ timestamp: at.toISOString(), event_type: 'log', body: `late ${i}`, value: undefined });

/** Holds the text of the invoice that was written against what the page says it is. */
const printed = async ({ box }: Place) => {
  const [name = ''] = readdirSync(box.folder).filter((one) => one.endsWith('.pdf'));
  const { text: shown = '' } =
    blocksOf(documentText('docs/billing.md')).find(({ language }) => language === '') ?? {};
  // Which of two columns comes first is a matter of the reader's.
  const words = (text: string) => shape(text).split(' ').sort();
  expect(
    words(
      pdfPages(readFileSync(join(box.folder, name)))
        .flat(2)
        .join(' '),
    ),
  ).toEqual(words(shown));
};

/** Events of teams, some of none. */
const teams = async (place: Place) => {
  const counts = { payments: 22, search: 14, platform: 9, '': 7 };
  const timestamp = (place.now ?? new Date()).toISOString();
  const of = (attributes: object, many: number) =>
    Array.from({ length: many }, (_, i) => event({ timestamp, value: i, attributes }));
  const all = Object.entries(counts).flatMap(([team, many]) => of({ team }, many));
  place.box.file('teams.ndjson', lines(...all, ...of({ region: 'eu-west-1' }, 8)));
  await place.run('ingest teams.ndjson');
};

/** Files as they are named on the page, none of them ingested yet. */
const files = async ({ box, now, events }: Place) => {
  const all = Buffer.from(await events(now));
  box.file('monday.ndjson', all.subarray(0, 10_000));
  box.file('tuesday.ndjson.gz', gzipSync(all.subarray(0, 20_000)));
};

/** The example events of another second, compressed: as if none of them had been ingested. */
const compressed = async ({ box, now = new Date(), events }: Place) => {
  box.file('events.ndjson.gz', gzipSync(await events(new Date(now.getTime() - 1000))));
};

/** Follows a file until all of it is in the reports, and stops as Ctrl-C does. */
async function follow(place: Place): Promise<CliResult> {
  const { box } = place;
  const path = box.file('app.ndjson', (await place.events()).split('\n').slice(0, 1500).join('\n'));
  writeFileSync(path, '\n', { flag: 'a' });
  const { accepted } = await box.json<{ accepted: number }>([
    ...['ingest', '--dry-run', '--tenant', 'acme-corp', path],
  ]);
  const stored = async () => {
    const count = 'SELECT count() AS events FROM infrasage_raw_firehose';
    return (await box.json<{ rows: { events: number }[] }>(['sql', count])).rows[0]?.events;
  };
  const running = box.start(['ingest', '--tenant', 'acme-corp', '--follow', 'app.ndjson']);
  let said = '';
  running.child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const hasEnded = () => running.child.exitCode !== null;
  await until(() => said.includes('following app.ndjson') || hasEnded());
  await until(async () => hasEnded() || (await stored()) === accepted);
  running.child.kill('SIGINT');
  const done = await running.done;
  // The terminal shows the key.
  return { ...done, stderr: done.stderr.replace(/^following .*\n/, '$&^C\n') };
}

/** A message that does not arrive, in a folder that others may look into. */
const broken = async (place: Place) => {
  place.env.INFRASAGE_SMTP_URL = 'smtp://127.0.0.1:9';
  place.env.INFRASAGE_SMTP_FROM = 'infrasage@acme.example';
  await place.run('quota set 10 --tenant acme-corp');
  await place.run('alerts add 80 --tenant acme-corp --email ops@acme.example');
  await place.perform('infrasage alerts check');
  chmodSync(place.box.dataDir, 0o755);
};

/** By page; one that is not here has the example events ingested. */
const SETTINGS: Record<string, Setting[]> = {
  'README.md': [
    {},
    { from: 'A tour', given: ingested },
    { from: 'The HTTP API', realClock: true, given: ingested },
  ],
  'docs/api.md': [
    {
      realClock: true,
      given: async (place) => {
        await compressed(place);
        const timestamp = new Date().toISOString();
        const types = ['metric', 'metrics', 'metric'];
        place.box.file('three.ndjson', lines(...types.map((event_type) => event({ timestamp, event_type }))));
      },
      instead: { 'npx infrasage serve': (place) => place.serve() },
    },
  ],
  'docs/billing.md': [
    {
      given: billed,
      after: {
        '$ infrasage billing --month 2026-10 --tenant acme-corp --format pdf --output acme-2026-10.pdf':
          printed,
        '$ infrasage billing close 2026-10': (place) => place.run('ingest late.ndjson'),
      },
    },
  ],
  'docs/capacity.md': [{ given: planned }],
  'docs/configuration.md': [
    {
      given: ingested,
      before: {
        '$ infrasage doctor --offline --settings': async ({ env }) => {
          env.INFRASAGE_SMTP_URL = 'smtp://infrasage:a-secret@127.0.0.1:587';
          env.INFRASAGE_SMTP_FROM = 'infrasage@acme.example';
        },
        '$ infrasage usage': async ({ box }) => box.file('infrasage.config.yaml', 'serve:\n  prot: 80\n'),
      },
      status: { '$ infrasage usage': 2 },
      after: { '$ infrasage usage': async ({ box }) => rmSync(join(box.folder, 'infrasage.config.yaml')) },
    },
  ],
  'docs/costs.md': [{ given: planned }],
  'docs/ingest.md': [
    { given: files, before: { '$ infrasage ingest events.ndjson.gz': compressed } },
    {
      from: 'Follow',
      realClock: true,
      instead: { '$ infrasage ingest --tenant acme-corp --follow app.ndjson': follow },
    },
  ],
  'docs/reports.md': [
    { given: limited },
    { from: 'By attribute', given: teams },
    { from: 'Services', given: limited },
  ],
  'docs/troubleshooting.md': [
    {
      given: ingested,
      before: { '$ infrasage doctor': broken },
      status: { '$ infrasage doctor': 1 },
    },
  ],
};

/** The settings of a page, in the order of its parts. */
export function settingsOf(page: string): Setting[] {
  return SETTINGS[page] ?? [{ given: ingested }];
}
