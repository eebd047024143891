import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Accounts,
  accounts,
  deadLetters,
  type StoredLetter,
  servicesBySource,
  storedServices,
} from './helpers/accounts.ts';
import { named } from './helpers/cases.ts';
import { ON_SERVER, type RunOptions, type Sandbox, sandbox, withDataDir, withStore } from './helpers/cli.ts';
import { event, generated, lines, type Mix, type Tally, type Truth } from './helpers/events.ts';

const KEPT_OF_LONG_LINE = 64 * 1024;
const DEFAULT_MAX_LINE = 1024 * 1024;

interface Summary {
  lines: number;
  accepted: number;
  rejected: number;
  skipped: number;
  bytes_received: number;
  bytes_ingested: number;
  errors: Record<string, number>;
  elapsed_ms: number;
}

/** What is in the tables after some ingests. */
interface Stored {
  services: string[];
  letters: StoredLetter[];
  accounts: Accounts;
}

async function stored(box: Sandbox): Promise<Stored> {
  return box.session(async (sql) => ({
    services: await storedServices(sql),
    letters: await deadLetters(sql),
    accounts: await accounts(sql),
  }));
}

/** Ingests, and checks on the way that every line is accounted for, in the summary and in every table. */
async function ingest(
  box: Sandbox,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Stored & { summary: Summary }> {
  const summary = await box.json<Summary>(['ingest', ...args], options);
  const found = await stored(box);
  const { accepted, rejected } = summary;
  expect(accepted + rejected + summary.skipped).toBe(summary.lines);
  expect(sum(Object.values(summary.errors))).toBe(rejected);
  expect(found.accounts).toMatchObject({
    accepted: found.accounts.firehose,
    rejected: found.accounts.letters,
    lines: found.accounts.firehose + found.accounts.letters,
    metered: found.accounts.firehose,
    committed: found.accounts.batches,
    meteredReceived: found.accounts.bytesReceived,
    meteredIngested: found.accounts.bytesIngested,
  });
  expect(spooled(box)).toEqual([]);
  return { ...found, summary };
}

/** As ingest(), into a data directory that nothing else was ingested to. */
async function ingestOnce(box: Sandbox, args: readonly string[], options: RunOptions = {}) {
  const found = await ingest(box, args, options);
  const { accepted, rejected, skipped, bytes_received, bytes_ingested, errors } = found.summary;
  expect({ accepted, rejected, skipped, bytes_received, bytes_ingested, errors }).toEqual({
    accepted: found.accounts.firehose,
    rejected: found.accounts.letters,
    skipped: 0,
    bytes_received: found.accounts.bytesReceived,
    bytes_ingested: found.accounts.bytesIngested,
    errors: countBy(found.letters.map((letter) => letter.error)),
  });
  return found;
}

/** The files that are still spooled. */
function spooled(box: Sandbox): string[] {
  const folder = join(box.dataDir, ON_SERVER ? 'servers' : 'spool');
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

function countBy(texts: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const text of texts) counts[text] = (counts[text] ?? 0) + 1;
  return counts;
}

function service(id: string, fields: Record<string, unknown> = {}): string {
  return event({ service_id: id, ...fields });
}

/** Line, code and bytes of dead letters, to compare with those expected. */
function rejections(letters: readonly StoredLetter[]) {
  return letters.map(({ line, error, raw }) => ({ line, error, raw: raw.toString('latin1') }));
}

function rejection(line: number, error: string, raw: Buffer | string) {
  return { line, error, raw: Buffer.from(raw).toString('latin1') };
}

/** What of `wanted` is not in `found`, each as often as it is there; the first few. */
function missing(wanted: readonly string[], found: readonly string[]): string[] {
  const left = countBy(found);
  return wanted
    .filter((text) => {
      left[text] = (left[text] ?? 0) - 1;
      return (left[text] ?? 0) < 0;
    })
    .slice(0, 3);
}

describe.each<[Mix, number, { seed: number; extras?: boolean; longLines?: number }]>([
  ['mixed', 20_000, { seed: 11, extras: true, longLines: 2 }],
  // More than a batch.
  ['metric', 200_000, { seed: 12 }],
  ['log', 20_000, { seed: 13 }],
  ['trace', 20_000, { seed: 14 }],
])('generated events, %s, %d', (mix, count, { seed, extras = false, longLines = 0 }) => {
  let box: Sandbox;
  let path: string;
  let truth: Truth;
  let summary: Summary;
  let letters: StoredLetter[];
  let books: Accounts;
  let metered: Record<string, Tally>;
  let inFirehose: Record<string, Tally>;
  let byService: Record<string, Tally>;
  let partBytes: number;
  let events: string[];

  beforeAll(async () => {
    box = sandbox({ initialised: true });
    ({ path, truth } = generated(box.folder, { count, mix, seed, extras, longLines }));
    summary = await box.json<Summary>(['ingest', path]);
    await box.session(async (sql) => {
      const [parts] = await sql<{ bytes: number }>(
        `SELECT sum(data_compressed_bytes) AS bytes FROM system.parts
        WHERE active AND database = '{{db}}' AND table = 'infrasage_raw_firehose'`,
      );
      partBytes = parts?.bytes ?? 0;
      const tallies = async (statement: string): Promise<Record<string, Tally>> => {
        const rows = await sql<Tally & { key: string }>(statement);
        return Object.fromEntries(
          rows.map(({ key, events, bytesReceived }) => [key, { events, bytesReceived }]),
        );
      };
      const HOUR = `formatDateTime(%, '%Y-%m-%dT%H:00:00Z')`;
      metered =
        await tallies(`SELECT concat(tenant_id, '\\t', ${HOUR.replace('%', () => 'hour')}, '\\t', event_type) AS key,
        sum(event_count) AS events, sum(m.bytes_received) AS bytesReceived
        FROM {{db}}.infrasage_usage_metering AS m GROUP BY key`);
      inFirehose =
        await tallies(`SELECT concat(tenant_id, '\\t', ${HOUR.replace('%', () => 'timestamp')}, '\\t', event_type) AS key,
        count() AS events, sum(f.bytes_received) AS bytesReceived
        FROM {{db}}.infrasage_raw_firehose AS f GROUP BY key`);
      byService = await tallies(`SELECT concat(tenant_id, '\\t', service_id) AS key,
        count() AS events, sum(f.bytes_received) AS bytesReceived
        FROM {{db}}.infrasage_raw_firehose AS f GROUP BY key`);
      letters = await deadLetters(sql);
      books = await accounts(sql);
      const all = extras
        ? await sql<StoredEvent>(
            `SELECT tenant_id, service_id, event_type, toUnixTimestamp64Milli(timestamp) AS ms, metric_name,
              value, body, trace_id, attributes, extra, bytes_received FROM {{db}}.infrasage_raw_firehose`,
          )
        : [];
      events = all.map(canonicalStored);
    });
  });
  afterAll(() => box.remove());

  test('every line is accounted for', () => {
    expect(summary).toMatchObject({
      lines: truth.lines,
      accepted: truth.accepted,
      rejected: truth.rejected,
      skipped: 0,
      bytes_received: truth.bytesReceived,
      errors: truth.errors,
    });
    expect(truth.lines).toBe(count);
    expect(books).toMatchObject({
      lines: truth.lines,
      firehose: truth.accepted,
      metered: truth.accepted,
      letters: truth.rejected,
      committed: books.batches,
      bytesReceived: truth.bytesReceived,
      meteredReceived: truth.bytesReceived,
    });
    expect(spooled(box)).toEqual([]);
  });

  test('the metering and the firehose have the generator’s counts by tenant, type and hour', () => {
    expect(Object.keys(truth.byTenantTypeHour).length).toBeGreaterThan(100);
    expect(metered).toEqual(truth.byTenantTypeHour);
    expect(inFirehose).toEqual(truth.byTenantTypeHour);
  });

  test('and by tenant and service', () => {
    expect(byService).toEqual(truth.byTenantService);
  });

  test('every rejected line is a dead letter, byte for byte, with its code, line and source', () => {
    expect(
      letters.map(({ line, error, raw, source }) => ({ line, error, raw: raw.toString('base64'), source })),
    ).toEqual(
      truth.rejects.map(({ line, code, raw }) => ({
        line,
        error: code,
        raw: Buffer.from(raw)
          .subarray(0, code === 'line_too_long' ? KEPT_OF_LONG_LINE : undefined)
          .toString('base64'),
        source: path,
      })),
    );
  });

  test('bytes_ingested sums to what the metering has, within 10 % of what the parts take', () => {
    expect(books.meteredIngested).toBe(books.bytesIngested);
    expect(summary.bytes_ingested).toBe(books.bytesIngested);
    expect(partBytes).toBeGreaterThan(0);
    expect(Math.abs(books.bytesIngested / partBytes - 1)).toBeLessThan(0.1);
  });

  test.runIf(extras)(
    'nothing of an event is lost: every field comes back, those outside the contract from extra',
    () => {
      const rejected = new Set(truth.rejects.map((reject) => reject.line));
      const sent = readFileSync(path, 'utf8')
        .split('\n')
        .filter((line, i) => line !== '' && !rejected.has(i + 1))
        .map(canonicalSent);
      expect(events.length).toBe(sent.length);
      expect(events.filter((text) => !text.includes('"extra":[]')).length).toBeGreaterThan(count / 20);
      expect(missing(sent, events)).toEqual([]);
    },
  );
});

interface StoredEvent {
  tenant_id: string;
  service_id: string;
  event_type: string;
  ms: number;
  metric_name: string;
  value: number | null;
  body: string;
  trace_id: string;
  attributes: Record<string, string>;
  extra: string;
  bytes_received: number;
}

function canonicalStored({ attributes, extra, ...fields }: StoredEvent): string {
  const parsed: Record<string, unknown> = extra === '' ? {} : JSON.parse(extra);
  return canonical({ ...fields, attributes, extra: parsed });
}

function canonicalSent(line: string): string {
  const sent: Record<string, unknown> = JSON.parse(line);
  const { tenant_id, service_id, event_type, type, timestamp, metric_name, value, body, trace_id, ...rest } =
    sent;
  const { attributes, ...extra } = rest;
  const texts = Object.entries(attributes ?? {}).map(([key, v]) => [
    key,
    typeof v === 'string' ? v : JSON.stringify(v),
  ]);
  return canonical({
    tenant_id,
    service_id,
    event_type: event_type ?? type,
    ms: Date.parse(String(timestamp)),
    metric_name: metric_name ?? '',
    value: value ?? null,
    body: body ?? '',
    trace_id: trace_id ?? '',
    bytes_received: Buffer.byteLength(line),
    attributes: Object.fromEntries(texts),
    extra,
  });
}

/** The same text for the same event, whatever the order of its fields. */
function canonical(fields: Record<string, unknown>): string {
  const sorted = (value: unknown): unknown =>
    typeof value === 'object' && value !== null
      ? Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
      : value;
  return JSON.stringify(
    Object.fromEntries(
      Object.keys(fields)
        .sort()
        .map((key) => [key, sorted(fields[key])]),
    ),
  );
}

describe('where the input comes from', () => {
  const input = lines(service('a'), 'not json', service('b'));

  test.each(
    named<{ what: string; stdin: boolean; args(path: string): string[]; source(path: string): string }>([
      { what: 'a file', stdin: false, args: (path) => [path], source: (path) => path },
      { what: 'standard input, a file', stdin: true, args: () => [], source: () => '-' },
      { what: 'standard input, named -', stdin: true, args: () => ['-'], source: () => '-' },
    ]),
  )('%s', (_, { stdin, args, source }) =>
    withStore(async (box) => {
      const path = box.file('events.ndjson', input);
      const found = await ingestOnce(box, args(path), stdin ? { stdin: { file: path } } : {});
      expect(found.services).toEqual(['a', 'b']);
      expect(rejections(found.letters)).toEqual([rejection(2, 'invalid_json', 'not json')]);
      expect(found.letters[0]?.source).toBe(source(path));
    }),
  );

  test('standard input, a pipe', () =>
    withStore(async (box) => {
      const found = await ingestOnce(box, [], { stdin: input });
      expect(found.services).toEqual(['a', 'b']);
      expect(rejections(found.letters)).toEqual([rejection(2, 'invalid_json', 'not json')]);
    }));

  test('several files and standard input among them, each with its own line numbers', () =>
    withStore(async (box) => {
      const first = box.file('first.ndjson', lines(service('a'), 'x'));
      const last = box.file('last.ndjson', lines('z', service('c')));
      const found = await ingestOnce(box, [first, '-', last], { stdin: lines('', 'y', service('b')) });
      expect(found.services).toEqual(['a', 'b', 'c']);
      expect(found.letters.map(({ source, line, raw }) => [source, line, raw.toString()])).toEqual([
        ['-', 2, 'y'],
        [first, 2, 'x'],
        [last, 1, 'z'],
      ]);
    }));

  test('one of several files is not there: nothing is ingested', () =>
    withDataDir(async (box) => {
      const first = box.file('first.ndjson', lines(service('a')));
      const { status, stdout, stderr } = await box.run(['ingest', first, 'no-such-file.ndjson']);
      expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
      expect(stderr).toMatch(/^infrasage: there is no file no-such-file\.ndjson; .*\n$/);
      expect(existsSync(box.dataDir)).toBe(false);
    }));

  test('empty input, and input of nothing but blank lines or a byte order mark, has no events', () =>
    withStore(async (box) => {
      const contents = ['', '\ufeff', '\n\r\n  \t \n\n   ', '\ufeff\n'];
      const files = contents.map((content, i) => box.file(`${i}.ndjson`, content));
      const { summary } = await ingestOnce(box, ['--strict-exit', '-', ...files], { stdin: '' });
      expect(summary).toMatchObject({ lines: 0, accepted: 0, rejected: 0, bytes_received: 0, errors: {} });
    }));
});

/**
 * Ingests the cases as files of one command, before the tests of the describe that it is called in.
 * @returns what became of a file, by its name
 */
function ingestedFiles(cases: readonly { name: string; content: Buffer | string }[], options: string[] = []) {
  const files = new Map<string, { services: string[]; letters: ReturnType<typeof rejections> }>();
  beforeAll(() =>
    withDataDir(async (box) => {
      const paths = cases.map(({ name, content }) => box.file(name, content));
      const { letters } = await ingestOnce(box, [...options, ...paths]);
      const services = await servicesBySource(box.sql);
      for (const path of paths) {
        files.set(basename(path), {
          services: services[path] ?? [],
          letters: rejections(letters.filter((letter) => letter.source === path)),
        });
      }
    }),
  );
  return (name: string) => files.get(name);
}

describe('compressed input, told by its content', () => {
  /** Three lines, with services that no other input has: what is known already would be skipped. */
  const first = (id: string) => lines(service(`${id}-a`), 'bad');
  const second = (id: string) => lines(service(`${id}-b`));
  const both = (id: string) => first(id) + second(id);
  /** The same, as the zstd command packs two frames, and in a frame as it is. */
  const frames = fixture('two-frames.ndjson.zst');
  const unpacked = fixture('raw-block.ndjson.zst');

  const packed: { what: string; id: string; name: string; content: Buffer }[] = [
    { what: 'gzip', id: 'gzip', name: 'events.ndjson.gz', content: gzipSync(both('gzip')) },
    {
      what: 'gzip that is not called so',
      id: 'bare',
      name: 'events.ndjson',
      content: gzipSync(both('bare')),
    },
    {
      what: 'gzip with a byte order mark in it',
      id: 'mark',
      name: 'mark.gz',
      content: gzipSync(`\ufeff${both('mark')}`),
    },
    {
      what: 'gzip of two members',
      id: 'two',
      name: 'two.gz',
      content: Buffer.concat([gzipSync(first('two')), gzipSync(second('two'))]),
    },
    {
      what: 'gzip of a member a character',
      id: 'many',
      name: 'many.gz',
      content: Buffer.concat([...both('many')].map((character) => gzipSync(character))),
    },
    {
      what: 'gzip padded with zeros, as on a tape',
      id: 'padded',
      name: 'padded.gz',
      content: Buffer.concat([gzipSync(both('padded')), Buffer.alloc(512)]),
    },
    { what: 'zstd of two frames that is not called so', id: 'zstd', name: 'events', content: frames },
    { what: 'zstd that is not packed', id: 'raw', name: 'raw.zst', content: unpacked },
    { what: 'none of these, called so', id: 'plain', name: 'plain.gz', content: Buffer.from(both('plain')) },
  ];

  describe('in files', () => {
    const found = ingestedFiles(packed);
    test.each(named(packed))('%s', (_, { name, id }) => {
      expect(found(name)).toEqual({
        services: [`${id}-a`, `${id}-b`],
        letters: [rejection(2, 'invalid_json', 'bad')],
      });
    });
  });

  test.each(
    named([
      { what: 'gzip', id: 'gzip', content: gzipSync(both('gzip')) },
      { what: 'zstd', id: 'zstd', content: frames },
    ]),
  )('%s from standard input, a byte at a time', (_, { id, content }) =>
    withStore(async (box) => {
      const { stdin, done } = box.start(['ingest', '--json']);
      for (const byte of content) stdin.write(Buffer.of(byte));
      stdin.end();
      expect(await done).toMatchObject({ status: 0, stderr: '' });
      expect(await storedServices(box.sql)).toEqual([`${id}-a`, `${id}-b`]);
    }),
  );

  test.skipIf(!hasZstd())('zstd of 20 MB as the zstd command makes it', () =>
    withStore(async (box) => {
      const { path, truth } = generated(box.folder, { count: 90_000, mix: 'mixed', seed: 21 });
      execFileSync('zstd', ['-q', '-9', path]);
      const { summary } = await ingestOnce(box, [`${path}.zst`]);
      expect(summary).toMatchObject({
        accepted: truth.accepted,
        errors: truth.errors,
        bytes_received: truth.bytesReceived,
      });
    }),
  );

  /** Events whose bytes do not compress to nothing, so that half of the file holds many of them. */
  const many = lines(...Array.from({ length: 4000 }, (_, i) => service('a', { value: Math.sin(i + 1) })));
  const zipped = gzipSync(many);

  test('a gzip file that was cut short: exit 3 says what was kept, and the lines before are there', () =>
    withStore(async (box) => {
      const path = box.file('cut.gz', zipped.subarray(0, zipped.length / 2));
      const { status, stdout, stderr } = await box.run(['ingest', path]);
      expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
      expect(stderr).toMatch(/^infrasage: .*cut\.gz cannot be read to its end: .*\n$/);
      expect(stderr).not.toMatch(/^ +at /m);
      const { accounts: books, services } = await stored(box);
      expect(books.firehose, 'what is there').toBe(keptLines(stderr));
      expect(services.length).toBeGreaterThan(1000);
      expect(books).toMatchObject({ letters: 0, metered: books.firehose, committed: books.batches });
    }));

  test('a zstd file that was cut short: likewise', () =>
    withStore(async (box) => {
      const { status, stderr } = await box.run(['ingest', box.file('cut.zst', frames.subarray(0, -8))]);
      expect(status).toBe(3);
      expect(stderr).toMatch(/^infrasage: .*cut\.zst cannot be read to its end: .*\n$/);
      const { accounts: books, services } = await stored(box);
      expect(books.firehose + books.letters).toBe(keptLines(stderr));
      expect(services).toEqual(['zstd-a']);
    }));

  test.each(
    named<{ what: string; content: Buffer }>([
      { what: 'gzip', content: damaged(gzipSync(both('x'), { level: 0 }), 'http.server') },
      { what: 'zstd', content: damaged(unpacked, 'http.server') },
    ]),
  )('%s that is damaged but for its checksum: exit 3, nothing changed is counted', (_, { content }) =>
    withStore(async (box) => {
      const { status, stderr } = await box.run(['ingest', box.file('damaged', content)]);
      expect(status).toBe(3);
      expect(stderr).toMatch(/damaged cannot be read to its end/);
      expect((await stored(box)).accounts).toMatchObject({ firehose: 0, metered: 0, letters: 0 });
    }),
  );

  test('what follows a gzip member and is no gzip is not dropped in silence', () =>
    withStore(async (box) => {
      const path = box.file('mixed.gz', Buffer.concat([gzipSync(first('x')), Buffer.from(second('x'))]));
      const { status, stderr } = await box.run(['ingest', path]);
      expect(status).toBe(3);
      expect(stderr).toMatch(/mixed\.gz cannot be read to its end/);
    }));
});

/** How many lines an error says are ingested and safe. */
function keptLines(stderr: string): number {
  const [, count = '0'] = /([\d,]+) lines? [^;]*\bsafe\b/.exec(stderr) ?? [];
  return Number(count.replaceAll(',', ''));
}

function hasZstd(): boolean {
  try {
    execFileSync('zstd', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function fixture(name: string): Buffer {
  return readFileSync(fileURLToPath(new URL(`fixtures/${name}`, import.meta.url)));
}

/** One byte changed inside a text that is stored as it is. */
function damaged(content: Buffer, text: string): Buffer {
  const at = content.indexOf(text);
  if (at < 0) throw new Error(`${text} is not stored as it is`);
  const copy = Buffer.from(content);
  copy[at] = 'H'.charCodeAt(0);
  return copy;
}

describe('where lines end', () => {
  /** <a>, <b> and <c> stand for events. */
  const forms: { what: string; input: string; letters: [line: number, raw: string][] }[] = [
    { what: 'LF', input: '<a>\nx\n<b>\n<c>\n', letters: [[2, 'x']] },
    { what: 'CRLF', input: '<a>\r\nx\r\n<b>\r\n<c>\r\n', letters: [[2, 'x']] },
    {
      what: 'LF and CRLF mixed',
      input: '<a>\nx\r\n<b>\r\ny\n<c>\n',
      letters: [
        [2, 'x'],
        [4, 'y'],
      ],
    },
    { what: 'no ending at the last, LF', input: '<a>\n<b>\nx\n<c>', letters: [[3, 'x']] },
    { what: 'no ending at the last, CRLF', input: '<a>\r\n<b>\r\nx\r\n<c>', letters: [[3, 'x']] },
    { what: 'no ending at a last one that is bad', input: '<a>\n<b>\n<c>\nx', letters: [[4, 'x']] },
    { what: 'a carriage return before CRLF', input: '<a>\r\r\n<b>\n<c>\r\r\nx\r\r\n', letters: [[4, 'x\r']] },
    { what: 'a carriage return inside', input: '<a>\n<b>\n<c>\nx\ry\n', letters: [[4, 'x\ry']] },
    { what: 'a carriage return at the very end', input: '<a>\n<b>\n<c>\nx\r', letters: [[4, 'x\r']] },
    { what: 'the same in CRLF input', input: '<a>\r\n<b>\r\n<c>\r\nx\r', letters: [[4, 'x\r']] },
    {
      what: 'blank lines and lines of white space between',
      input: '\n\r\n<a>\n \t \nx\n\n\n<b>\r\n\t\r\ny\n   <c>\n\n',
      letters: [
        [5, 'x'],
        [10, 'y'],
      ],
    },
    { what: 'a byte order mark at the start', input: '\ufeff<a>\nx\n<b>\n<c>\n', letters: [[2, 'x']] },
    { what: 'a byte order mark before a bad line', input: '\ufeffx\n<a>\n<b>\n<c>\n', letters: [[1, 'x']] },
    {
      what: 'other white space',
      input: '<a>\n<b>\n<c>\n\v\n\f\n\u00a0\n',
      letters: [
        [4, '\v'],
        [5, '\f'],
        [6, '\u00a0'],
      ],
    },
  ];
  const cases = forms.map(({ input, ...rest }, i) => ({
    ...rest,
    name: `${i}.ndjson`,
    services: ['a', 'b', 'c'].map((id) => `${id}${i}`),
    content: input.replace(/<(.)>/g, (_, id: string) => service(`${id}${i}`)),
  }));
  const found = ingestedFiles(cases);

  test.each(named(cases))('%s', (_, { name, services, letters }) => {
    expect(found(name)).toEqual({
      services,
      letters: letters.map(([line, raw]) => rejection(line, 'invalid_json', raw)),
    });
  });

  test('blank lines that filled a batch do not hide what follows when it comes again in larger ones', () =>
    withStore(async (box) => {
      const input = `${'\n'.repeat(700)}${lines(service('a'), service('b'))}`;
      await ingest(box, ['--max-line', '250', '--batch-bytes', '260'], { stdin: input });
      const { summary, services } = await ingest(box, ['--max-line', '250'], { stdin: input });
      expect(summary).toMatchObject({ lines: 2, accepted: 0, skipped: 2 });
      expect(services).toEqual(['a', 'b']);
    }));

  test('neither the ending nor a byte order mark is in bytes_received', () =>
    withStore(async (box) => {
      const { summary } = await ingestOnce(box, [], {
        stdin: `\ufeff${event()}\r\n${event()}\n\n${event()}`,
      });
      expect(summary.bytes_received).toBe(3 * Buffer.byteLength(event()));
    }));

  test('any bytes are kept as they are, and what is no UTF-8 is no JSON', () =>
    withStore(async (box) => {
      const bad = [
        ...Array.from({ length: 256 }, (_, byte) => byte)
          .filter((byte) => ![9, 10, 13, 32].includes(byte))
          .map((byte) => Buffer.of(byte)),
        ...Array.from({ length: 128 }, (_, i) =>
          Buffer.from(event({ body: '%' }).replace('%', String.fromCharCode(128 + i)), 'latin1'),
        ),
        Buffer.from([...Array(256).keys()].filter((byte) => byte !== 10)),
        Buffer.from('\ud83d\ude00 \u202e \u0085 \u2028'),
      ];
      const input = Buffer.concat(bad.flatMap((line) => [line, Buffer.from('\n')]));
      const { letters } = await ingestOnce(box, [], { stdin: input });
      expect(rejections(letters)).toEqual(
        // A single digit is valid JSON, and no object.
        bad.map((raw, i) =>
          rejection(i + 1, /^\d$/.test(raw.toString()) ? 'not_an_object' : 'invalid_json', raw),
        ),
      );
    }));
});

describe('lines over the limit', () => {
  /** An event of exactly so many bytes. */
  const sized = (id: string, bytes: number): string => {
    const bare = service(id, { event_type: 'log', body: '' });
    return service(id, { event_type: 'log', body: 'b'.repeat(bytes - Buffer.byteLength(bare)) });
  };

  test.each([
    ['by default', DEFAULT_MAX_LINE, []],
    ['with --max-line', 300, ['--max-line', '300']],
  ])('one of exactly the limit is taken, one byte more is a dead letter: %s', (_, limit, args) =>
    withStore(async (box) => {
      const over = sized('over', limit + 1);
      const input = `${sized('a', limit)}\n${over}\n${sized('b', limit)}\r\n${over}\r\n${sized('c', limit)}`;
      const found = await ingestOnce(box, args, { stdin: input });
      expect(found.services).toEqual(['a', 'b', 'c']);
      const kept = over.slice(0, KEPT_OF_LONG_LINE);
      expect(rejections(found.letters)).toEqual([2, 4].map((line) => rejection(line, 'line_too_long', kept)));
      for (const { message } of found.letters) {
        expect(message).toContain(`${limit + 1} bytes`);
        expect(message).toContain(`the limit is ${limit}`);
      }
    }),
  );

  test('one of 40 MB, among others: only its start is kept, and its full length said', () =>
    withStore(async (box) => {
      const long = Buffer.alloc(40_000_000, 'y');
      long.write('start');
      const input = [Buffer.from(`${service('a')}\n\n`), long, Buffer.from(`\r\n${service('b')}\nx\n`)];
      const found = await ingestOnce(box, [], { stdin: Buffer.concat(input) });
      expect(found.services).toEqual(['a', 'b']);
      expect(rejections(found.letters)).toEqual([
        rejection(3, 'line_too_long', long.subarray(0, KEPT_OF_LONG_LINE)),
        rejection(5, 'invalid_json', 'x'),
      ]);
      expect(found.letters[0]?.message).toContain('40000000 bytes');
    }));

  test('the last one, without an ending: 40 MB', () =>
    withStore(async (box) => {
      const found = await ingestOnce(box, [], { stdin: Buffer.alloc(40_000_000, '[') });
      expect(rejections(found.letters)).toEqual([
        rejection(1, 'line_too_long', '['.repeat(KEPT_OF_LONG_LINE)),
      ]);
      expect(found.letters[0]?.message).toContain('40000000 bytes');
    }));

  const longForms: { what: string; input: string; letters: [line: number, raw: string][] }[] = [
    {
      what: 'the last, without an ending',
      input: `<a>\n${'x'.repeat(400)}`,
      letters: [[2, 'x'.repeat(400)]],
    },
    {
      what: 'the last, with a carriage return for an ending',
      input: `<a>\n${'x'.repeat(400)}\r`,
      letters: [[2, `${'x'.repeat(400)}\r`]],
    },
    {
      what: 'with carriage returns in it, kept up to one',
      input: `${'x\r'.repeat(200)}\r\n<a>\r\n${'x'.repeat(KEPT_OF_LONG_LINE - 1)}\ry\n`,
      letters: [
        [1, 'x\r'.repeat(200)],
        [3, `${'x'.repeat(KEPT_OF_LONG_LINE - 1)}\r`],
      ],
    },
    {
      what: 'kept of it is white space, in input with blank lines',
      input: `\n${' '.repeat(KEPT_OF_LONG_LINE)}x\n<a>\n`,
      letters: [[2, ' '.repeat(KEPT_OF_LONG_LINE)]],
    },
  ];
  const long = longForms.map(({ input, ...rest }, i) => ({
    ...rest,
    name: `long-${i}.ndjson`,
    services: [`a${i}`],
    content: input.replace('<a>', service(`a${i}`)),
  }));
  const found = ingestedFiles(long, ['--max-line', '300']);

  test.each(named(long))('%s', (_, { name, services, letters }) => {
    expect(found(name)).toEqual({
      services,
      letters: letters.map(([line, raw]) => rejection(line, 'line_too_long', raw)),
    });
  });

  test('white space is no event, however long: 300,000 bytes and 40 MB of it', () =>
    withStore(async (box) => {
      const input = Buffer.concat([
        Buffer.from(lines(service('a'), ' '.repeat(300_000))),
        Buffer.alloc(40_000_000, ' '),
        Buffer.from(`\n${service('b')}\nx\n`),
      ]);
      const found = await ingestOnce(box, ['--max-line', '300'], { stdin: input });
      expect(found.services).toEqual(['a', 'b']);
      expect(found.letters.map(({ line, error }) => [line, error])).toEqual([[5, 'invalid_json']]);
    }));

  test('one that starts like another ingested before takes no lines with it', () =>
    withStore(async (box) => {
      const small = ['--max-line', '250', '--batch-bytes', '260'];
      await ingest(box, small, { stdin: lines('x'.repeat(5000)) });
      const events = Array.from({ length: 6 }, (_, i) => service(`s${i}`));
      const found = await ingest(box, small, { stdin: lines('x'.repeat(300), ...events) });
      expect(found.summary).toMatchObject({ lines: 7, accepted: 6, rejected: 1, skipped: 0 });
      expect(found.services).toEqual(events.map((_, i) => `s${i}`));
    }));

  test('one without an ending, longer than a batch, is the same line when it comes again', () =>
    withStore(async (box) => {
      const args = ['--max-line', '250', '--batch-bytes', '2000'];
      const input = `${service('a')}\n${'x'.repeat(5000)}`;
      await ingest(box, args, { stdin: input });
      const { summary } = await ingest(box, args, { stdin: input });
      expect(summary).toMatchObject({ lines: 2, accepted: 0, rejected: 0, skipped: 2 });
    }));

  test('30,000 of them', () =>
    withStore(async (box) => {
      const input = Array.from({ length: 30_000 }, (_, i) => `line ${i} is long\n`).join('');
      const { summary, letters } = await ingestOnce(box, ['--max-line', '2'], { stdin: input });
      expect(summary.errors).toEqual({ line_too_long: 30_000 });
      expect(letters[29_999]).toMatchObject({ line: 30_000, message: expect.stringContaining('18 bytes') });
    }));
});

test('a batch of many lines is judged in pieces and stored as one part, its dead letters with their numbers', () =>
  withStore(async (box) => {
    const bad = [1, 32_767, 32_768, 32_769, 65_536, 65_537, 70_000];
    const good = service('a');
    const input = Array.from({ length: 70_000 }, (_, i) => (bad.includes(i + 1) ? `bad ${i + 1}` : good));
    const { summary, letters } = await ingestOnce(box, [], { stdin: `${input.join('\n')}\n` });
    expect(summary).toMatchObject({ lines: 70_000, accepted: 69_993, errors: { invalid_json: 7 } });
    expect(rejections(letters)).toEqual(bad.map((line) => rejection(line, 'invalid_json', `bad ${line}`)));
    expect(await box.sql('SELECT uniqExact(_part) AS parts FROM {{db}}.infrasage_raw_firehose')).toEqual([
      { parts: 1 },
    ]);
  }));

describe('options', () => {
  const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000).toISOString();
  const codes = (found: Stored) => found.letters.map(({ line, error }) => [line, error]);

  test('--tenant, or INFRASAGE_TENANT, fills in where there is none, and changes none', () =>
    withStore(async (box) => {
      const input = lines(
        service('a', { tenant_id: undefined }),
        service('b', { tenant_id: null }),
        service('c'),
      );
      const tenants = async () => {
        const pairs = await box.sql<{ pair: string }>(
          `SELECT concat(service_id, ' of ', tenant_id) AS pair FROM {{db}}.infrasage_raw_firehose ORDER BY pair`,
        );
        return pairs.map(({ pair }) => pair);
      };
      await ingest(box, ['--tenant', 'globex'], { stdin: input });
      expect(await tenants()).toEqual(['a of globex', 'b of globex', 'c of acme-corp']);
      const other = input.replaceAll('"service_id":"', '"service_id":"2');
      await ingest(box, [], { stdin: other, env: { INFRASAGE_TENANT: 'initech' } });
      expect((await tenants()).slice(0, 3)).toEqual(['2a of initech', '2b of initech', '2c of acme-corp']);
    }));

  test('without it: missing_tenant_id; a tenant id that is there and wrong is not filled in', () =>
    withStore(async (box) => {
      const bare = await ingest(box, [], { stdin: lines(event({ tenant_id: undefined }), service('a')) });
      expect(codes(bare)).toEqual([[1, 'missing_tenant_id']]);
      const filled = await ingest(box, ['--tenant', 'globex'], { stdin: lines(event({ tenant_id: '' })) });
      expect(filled.letters.map((letter) => letter.error).sort()).toEqual([
        'invalid_tenant_id',
        'missing_tenant_id',
      ]);
    }));

  test('--default-type fills in where there is no event_type and no type', () =>
    withStore(async (box) => {
      const input = lines(
        service('a', { event_type: undefined }),
        service('b', { event_type: undefined, type: 'slo' }),
        service('c', { event_type: 'wrong' }),
      );
      const found = await ingestOnce(box, ['--default-type', 'trace'], { stdin: input });
      expect(codes(found)).toEqual([[3, 'invalid_event_type']]);
      const types = await box.sql(
        `SELECT service_id, event_type FROM {{db}}.infrasage_raw_firehose ORDER BY service_id`,
      );
      expect(types).toEqual([
        { service_id: 'a', event_type: 'trace' },
        { service_id: 'b', event_type: 'slo' },
      ]);
    }));

  test('--strict demands what the gateway does; without it none of this is missed', () =>
    withStore(async (box) => {
      const bare = { metric_name: undefined, value: undefined };
      const input = lines(
        event({ ...bare, value: 1 }),
        event({ ...bare, event_type: 'trace', metric_name: 'm' }),
        event({ ...bare, event_type: 'slo' }),
        event({ ...bare, event_type: 'profile', metric_name: 'm', value: null }),
        event({ ...bare, event_type: 'log' }),
        event({ ...bare, event_type: 'event', metric_name: 'm', value: 1 }),
        service('a'),
        service('b', { ...bare, event_type: 'log', body: '' }),
      );
      expect(codes(await ingestOnce(box, ['--strict'], { stdin: input }))).toEqual([
        [1, 'missing_metric_name'],
        [2, 'missing_value'],
        [3, 'missing_metric_name'],
        [4, 'missing_value'],
        [5, 'missing_body'],
        [6, 'missing_body'],
      ]);
      expect(await box.json(['ingest', '--dry-run'], { stdin: input })).toMatchObject({
        accepted: 8,
        rejected: 0,
      });
    }));

  test('--max-age refuses what is older; the future stays bounded by 24 hours', () =>
    withStore(async (box) => {
      const input = lines(
        service('a', { timestamp: ago(1) }),
        event({ timestamp: ago(3) }),
        event({ timestamp: ago(-25) }),
        service('b', { timestamp: ago(-23) }),
      );
      expect(codes(await ingestOnce(box, ['--max-age', '2h'], { stdin: input }))).toEqual([
        [2, 'timestamp_too_old'],
        [3, 'timestamp_in_future'],
      ]);
    }));

  test('--assume-utc takes times without an offset, and a space for the T', () =>
    withStore(async (box) => {
      const input = lines(
        service('a', { timestamp: '2024-02-28T10:15:30' }),
        service('b', { timestamp: '2024-02-28 10:15:30.25' }),
        service('c', { timestamp: '2024-02-28 12:15:30+02:00' }),
        event({ timestamp: '2024-02-30 10:15:30' }),
      );
      expect(codes(await ingestOnce(box, ['--assume-utc'], { stdin: input }))).toEqual([
        [4, 'invalid_timestamp'],
      ]);
      const hours = await box.sql('SELECT hour, event_count FROM {{db}}.infrasage_usage_metering');
      expect(hours).toEqual([{ hour: '2024-02-28 10:00:00', event_count: 3 }]);
      expect(await box.json(['ingest', '--dry-run'], { stdin: input })).toMatchObject({
        errors: { invalid_timestamp: 4 },
      });
    }));

  test('--dry-run reports the same and writes nothing: no data directory, no temporary files', () =>
    withDataDir(async (box) => {
      const { path, truth } = generated(box.folder, { count: 20_000, mix: 'mixed', seed: 31, longLines: 1 });
      const summary = await box.json<Summary>(['ingest', '--dry-run', path, '--max-line', '900000']);
      expect(summary).toMatchObject({
        lines: truth.lines,
        accepted: truth.accepted,
        rejected: truth.rejected,
        bytes_received: truth.bytesReceived,
        errors: truth.errors,
      });
      expect(existsSync(box.dataDir)).toBe(false);
      expect(readdirSync(box.tmp)).toEqual([]);
    }));

  test('--strict-exit: 1 where a line was rejected, 0 where none was; the rest is ingested', () =>
    withStore(async (box) => {
      const bad = await box.run(['ingest', '--strict-exit'], { stdin: lines(service('a'), 'x') });
      expect(bad).toMatchObject({ status: 1, stderr: '' });
      expect(bad.stdout).toMatch(/1 accepted \+ 1 rejected/);
      const good = await box.run(['ingest', '--strict-exit'], { stdin: lines(service('b')) });
      expect(good).toMatchObject({ status: 0, stderr: '' });
      const lenient = await box.run(['ingest'], { stdin: lines('y', service('c')) });
      expect(lenient).toMatchObject({ status: 0, stderr: '' });
      const dry = await box.run(['ingest', '--strict-exit', '--dry-run'], { stdin: lines('z') });
      expect(dry).toMatchObject({ status: 1, stderr: '' });
      const found = await stored(box);
      expect(found.services).toEqual(['a', 'b', 'c']);
      expect(found.letters.map(({ raw }) => raw.toString()).sort()).toEqual(['x', 'y']);
    }));

  test('every event type and both names of it, hours by the event’s own time in UTC', () =>
    withStore(async (box) => {
      const types = ['metric', 'log', 'trace', 'event', 'profile', 'slo'];
      const input = lines(
        ...types.map((event_type) => event({ event_type })),
        ...types.map((type) =>
          event({ event_type: undefined, type, timestamp: '2024-02-28T23:59:59.999-00:30' }),
        ),
      );
      await ingestOnce(box, [], { stdin: input });
      const rows = await box.sql<{ event_type: string; hour: string }>(
        `SELECT event_type, toString(hour) AS hour, event_count FROM {{db}}.infrasage_usage_metering`,
      );
      const expected = types.flatMap((event_type) =>
        ['2024-02-28 10:00:00', '2024-02-29 00:00:00'].map((hour) => ({ event_type, hour, event_count: 1 })),
      );
      expect(rows).toHaveLength(expected.length);
      expect(rows).toEqual(expect.arrayContaining(expected));
    }));

  test('one batch may reach over more than 100 months', () =>
    withStore(async (box) => {
      const input = lines(
        ...Array.from({ length: 110 }, (_, month) =>
          service('a', { timestamp: new Date(Date.UTC(2000, month)).toISOString() }),
        ),
      );
      const { summary } = await ingestOnce(box, [], { stdin: input });
      expect(summary).toMatchObject({ accepted: 110, rejected: 0 });
    }));
});
