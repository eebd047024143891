import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Session } from 'chdb';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ContractOptions, ERROR_CODES, type ErrorCode } from '../src/ingest/contract.ts';
import { explain } from '../src/ingest/judge.ts';
import { parseSql } from '../src/store/schema.ts';

const SEED = Number(process.env.INFRASAGE_SEED ?? Math.floor(Math.random() * 2 ** 31));
const LINES = 24_000;

const DAY = 86_400_000;
const RECEIVED = new Date('2026-04-10T12:00:00.500Z');
const PLAIN: ContractOptions = { strict: false, assumeUtc: false, maxLine: 1_048_576, receivedAt: RECEIVED };

/** The options under which generated lines are judged. */
const OPTION_SETS: readonly ContractOptions[] = [
  PLAIN,
  { ...PLAIN, strict: true },
  { ...PLAIN, tenant: 'acme-corp' },
  { ...PLAIN, defaultType: 'metric' },
  { ...PLAIN, assumeUtc: true },
  { ...PLAIN, maxAgeMs: DAY },
  { ...PLAIN, tenant: 'true', defaultType: 'log', strict: true },
  { ...PLAIN, tenant: '12', defaultType: 'slo', strict: true, assumeUtc: true, maxAgeMs: 3_600_000 },
  { ...PLAIN, tenant: 'acme\u0007', maxAgeMs: 9_007_199_254_740_000 },
  { ...PLAIN, maxLine: 220 },
  { ...PLAIN, tenant: 'globex', maxLine: 300, strict: true },
  { ...PLAIN, tenant: 'acme-corp', tenantBound: true },
  { ...PLAIN, tenant: '12', tenantBound: true, strict: true },
  { ...PLAIN, tenant: 'true', tenantBound: true, maxLine: 300 },
  { ...PLAIN, assumeUtc: true, maxAgeMs: DAY, receivedAt: new Date('2000-01-01T12:00:00Z') },
];

interface Case {
  line: Buffer;
  options: ContractOptions;
}

/** What the engine makes of a line: its verdict and what it would store. */
interface Judged {
  error: string;
  tenant_id: string;
  event_type: string;
  service_id: string;
  ms: number;
  metric_name: string;
  value: number | null;
  body: string;
  trace_id: string;
  keys: string[];
  texts: string[];
  extra: string;
  extra_readable: number;
}

let folder: string;
let session: Session;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'infrasage-contract-'));
  session = new Session(join(folder, 'engine'));
});

afterAll(() => {
  session.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The engine's verdict on each line, from one query. */
function judge(cases: readonly Case[]): Judged[] {
  const sets = [...new Set(cases.map((c) => c.options))];
  const path = join(folder, 'lines');
  // Before each line: the number of its option set and its length as sent.
  const rows = cases.flatMap(({ line, options }) => [
    Buffer.from(String(sets.indexOf(options)).padStart(4, '0') + String(line.length).padStart(8, '0')),
    line.subarray(0, options.maxLine),
    Buffer.from('\n'),
  ]);
  writeFileSync(path, Buffer.concat(rows));

  const pick = (value: (set: ContractOptions) => string): string =>
    `[${sets.map(value).join(', ')}][toUInt32(substring(raw, 1, 4)) + 1]`;
  const text = (value: string | undefined): string =>
    value === undefined ? 'NULL' : `unhex('${Buffer.from(value).toString('hex')}')`;
  const lines = `
    SELECT
      substring(raw, 13) AS line,
      rowNumberInAllBlocks() + 1 AS line_number,
      toUInt64(substring(raw, 5, 8)) AS line_length,
      CAST('batch', 'LowCardinality(String)') AS batch_id,
      CAST('lines', 'LowCardinality(String)') AS source,
      toDateTime64(${pick((set) => `'${set.receivedAt.toISOString().slice(0, 23).replace('T', ' ')}'`)}, 3, 'UTC') AS received_at,
      CAST(${pick((set) => text(set.tenant))}, 'LowCardinality(Nullable(String))') AS default_tenant,
      CAST(${pick((set) => text(set.defaultType))}, 'LowCardinality(Nullable(String))') AS default_type,
      toUInt8(${pick((set) => (set.strict ? '1' : '0'))}) AS strict,
      toUInt8(${pick((set) => (set.assumeUtc ? '1' : '0'))}) AS assume_utc,
      toUInt64(${pick((set) => String((set.maxAgeMs ?? 0) / 1000))}) AS max_age_seconds,
      toUInt64(${pick((set) => String(set.maxLine))}) AS max_line,
      toUInt8(${pick((set) => (set.tenantBound ? '1' : '0'))}) AS tenant_bound
    FROM (SELECT line AS raw FROM file('${path}', LineAsString, 'line String'))`;
  const answer = session.query(
    `SELECT
      error, tenant_id, event_type, service_id, toUnixTimestamp64Milli(timestamp) AS ms,
      metric_name, value, body, trace_id, mapKeys(attributes) AS keys, mapValues(attributes) AS texts,
      extra, extra = '' OR isValidJSON(extra) AS extra_readable
    FROM (${parseSql(lines)})
    SETTINGS max_threads = 1, input_format_parallel_parsing = 0, output_format_json_quote_64bit_integers = 0`,
    'JSONEachRow',
  );
  const judged = answer
    .trimEnd()
    .split('\n')
    .map((row): Judged => JSON.parse(row));
  expect(judged).toHaveLength(cases.length);
  return judged;
}

/** Fails with the shortest of the cases in question, and what is said of them. */
function expectNone(problems: readonly { case: Case; says: string }[]): void {
  const shortest = [...problems].sort((a, b) => a.case.line.length - b.case.line.length).slice(0, 5);
  const lines = shortest.map(({ case: { line, options }, says }) => {
    const { receivedAt, ...rest } = options;
    return [
      says,
      `  line:    ${JSON.stringify(line.toString('utf8')).slice(0, 1000)}`,
      `  bytes:   ${line.subarray(0, 400).toString('hex')}`,
      `  options: ${JSON.stringify(rest)} received ${receivedAt.toISOString()}`,
    ].join('\n');
  });
  if (problems.length > 0) {
    expect.fail(
      `${problems.length} lines differ (INFRASAGE_SEED=${SEED}); the shortest:\n${lines.join('\n')}`,
    );
  }
}

function expectSameVerdicts(cases: readonly Case[], judged: readonly Judged[]): void {
  expectNone(
    cases.flatMap((c, i) => {
      const engine = judged[i]?.error ?? 'no row';
      const contract = explain(c.line, c.options)[0]?.code ?? '';
      return engine === contract ? [] : [{ case: c, says: `engine: '${engine}', contract: '${contract}'` }];
    }),
  );
}

// --- each rule by hand ---------------------------------------------------

const EVENT = {
  tenant_id: 'acme-corp',
  service_id: 'payment-api',
  event_type: 'metric',
  timestamp: '2026-04-10T12:00:00Z',
};

/** An event as a line, with fields replaced; undefined leaves one out. */
function event(changes: Record<string, unknown> = {}): string {
  return JSON.stringify({ ...EVENT, ...changes });
}

/** An event with a member written out as text, last. */
function withMember(member: string): string {
  return `${event().slice(0, -1)},${member}}`;
}

function nested(open: string, close: string, levels: number, inside = ''): string {
  return `{"extra":${open.repeat(levels - 1)}${inside}${close.repeat(levels - 1)}}`;
}

const STRICT = { ...PLAIN, strict: true };
const BOUND = { ...PLAIN, tenant: 'acme-corp', tenantBound: true };
const ASSUME_UTC = { ...PLAIN, assumeUtc: true };
const MAX_AGE = { ...PLAIN, maxAgeMs: DAY };
const bytes = (...parts: (string | number[])[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part))));

/** What is judged, the codes of all rules it breaks, and the options if they matter. */
const BY_HAND: readonly [line: string | Buffer, codes: readonly ErrorCode[], options?: ContractOptions][] = [
  [event(), []],
  [event({ metric_name: 'm', value: 1.5, body: 'b', trace_id: 't', attributes: { a: 1 }, other: [1] }), []],

  [event(), ['line_too_long'], { ...PLAIN, maxLine: event().length - 1 }],
  [event(), [], { ...PLAIN, maxLine: event().length }],
  [`${' '.repeat(400)}not JSON`, ['line_too_long'], { ...PLAIN, maxLine: 400 }],

  ['', ['invalid_json']],
  [event().slice(0, -1), ['invalid_json']],
  [`${event()} ${event()}`, ['invalid_json']],
  [withMember('"a":1,'), ['invalid_json']],
  [withMember('"a":NaN'), ['invalid_json']],
  [withMember('"a":1/**/'), ['invalid_json']],
  [withMember('"a":01'), ['invalid_json']],
  [withMember('"a":1.'), ['invalid_json']],
  [withMember('"a":.5'), ['invalid_json']],
  [withMember('"a":+1'), ['invalid_json']],
  [withMember('"a":1E+5,"b":-0,"c":1e-400'), []],
  [withMember('"a":1e400'), ['invalid_json']],
  [withMember('"a":18446744073709551615'), []],
  [withMember('"a":18446744073709551616'), ['invalid_json']],
  [withMember('"a":18446744073709551616.0'), []],
  [withMember('"a":-9223372036854775808'), []],
  [withMember('"a":-9223372036854775809'), ['invalid_json']],
  [withMember('"a":"\\ud83d\\ude00"'), []],
  [withMember('"a":"\\ud800"'), ['invalid_json']],
  [withMember('"\\udc00":1'), ['invalid_json']],
  [withMember('"a":"\\u0000"'), []],
  [withMember('"a":"\u0000"'), ['invalid_json']],
  [withMember('"a":"\t"'), ['invalid_json']],
  [withMember('"a":"\u007f"'), []],
  [bytes(withMember('"a":"'), [0xff], '"}'), ['invalid_json']],
  [bytes(withMember('"a":"').slice(0, -1), [0xed, 0xa0, 0x80], '"}'), ['invalid_json']],
  [bytes([0xef, 0xbb, 0xbf], event()), []],
  [bytes([0xef, 0xbb, 0xbf, 0xef, 0xbb, 0xbf], event()), ['invalid_json']],
  [bytes(' ', [0xef, 0xbb, 0xbf], event()), ['invalid_json']],
  [bytes(event(), [0xef, 0xbb, 0xbf]), ['invalid_json']],
  [bytes(event(), [0]), ['invalid_json']],
  [` \t\r${event()}\r\t `, []],
  [`\f${event()}`, ['invalid_json']],
  [
    nested('[', ']', 1024),
    ['missing_tenant_id', 'missing_service_id', 'missing_event_type', 'missing_timestamp'],
  ],
  [nested('[', ']', 1025), ['invalid_json']],
  [nested('[', ']', 1024, '0'), ['invalid_json']],
  [nested('{"a":', '}', 1024, '0'), ['invalid_json']],
  [
    nested('{"a":', '}', 1023, '{}'),
    ['missing_tenant_id', 'missing_service_id', 'missing_event_type', 'missing_timestamp'],
  ],

  ['[]', ['not_an_object']],
  ['null', ['not_an_object']],
  ['"{}"', ['not_an_object']],
  ['["acme-corp","payment-api","metric",null,"2026-04-10T12:00:00Z"]', ['not_an_object']],

  [withMember('"tenant_id":"acme-corp"'), ['duplicate_key']],
  [withMember('"\\u0074enant_id":"acme-corp"'), ['duplicate_key']],
  [withMember('"":1,"":2'), ['duplicate_key']],
  [withMember('"a":{"b":1,"b":2}'), []],
  [withMember('"value":1,"value":"x"'), ['duplicate_key']],
  [withMember('"value":"x","value":1'), ['duplicate_key', 'invalid_value']],

  [event({ tenant_id: undefined }), ['missing_tenant_id']],
  [event({ tenant_id: null }), ['missing_tenant_id']],
  [event({ tenant_id: null }), [], { ...PLAIN, tenant: 'acme-corp' }],
  [event({ tenant_id: '' }), ['invalid_tenant_id'], { ...PLAIN, tenant: 'acme-corp' }],
  [event({ tenant_id: 5 }), ['invalid_tenant_id']],
  [event({ tenant_id: '5' }), []],
  [event({ tenant_id: 'true' }), []],
  [event(), [], BOUND],
  [event({ tenant_id: undefined }), [], BOUND],
  [event({ tenant_id: null }), [], BOUND],
  [event({ tenant_id: 'globex' }), ['invalid_tenant_id'], BOUND],
  [event({ tenant_id: 'Acme-corp' }), ['invalid_tenant_id'], BOUND],
  [event({ tenant_id: 'acme-corp ' }), ['invalid_tenant_id'], BOUND],
  [event({ tenant_id: '' }), ['invalid_tenant_id'], BOUND],
  [event({ tenant_id: ['acme-corp'] }), ['invalid_tenant_id'], BOUND],
  [event({ tenant_id: 5 }), ['invalid_tenant_id'], { ...BOUND, tenant: '5' }],
  [withMember('"\\u0074enant_id":"globex"'), ['duplicate_key'], BOUND],
  [
    event({ tenant_id: undefined }).replace('{', '{"\\u0074enant_id":"globex",'),
    ['invalid_tenant_id'],
    BOUND,
  ],
  [event({ tenant_id: 'globex', service_id: undefined }), ['invalid_tenant_id', 'missing_service_id'], BOUND],
  [event({ tenant_id: '\u{1f600}'.repeat(128) }), []],
  [event({ tenant_id: 'x'.repeat(129) }), ['invalid_tenant_id']],
  [event({ tenant_id: 'a\u0000' }), ['invalid_tenant_id']],
  [event({ tenant_id: 'a\u009f' }), ['invalid_tenant_id']],
  [event({ tenant_id: 'a\u00ad' }), []],

  [event({ service_id: undefined }), ['missing_service_id']],
  [event({ service_id: '' }), ['invalid_service_id']],
  [event({ service_id: 'é'.repeat(256) }), []],
  [event({ service_id: 'é'.repeat(257) }), ['invalid_service_id']],
  [event({ service_id: 'a\u007f' }), ['invalid_service_id']],
  [event({ service_id: true }), ['invalid_service_id']],

  [event({ event_type: undefined }), ['missing_event_type']],
  [event({ event_type: undefined }), [], { ...PLAIN, defaultType: 'log' }],
  [event({ event_type: undefined, type: 'log' }), []],
  [event({ event_type: null, type: 'log' }), []],
  [event({ type: 'metric' }), []],
  [event({ type: 'log' }), ['invalid_event_type']],
  [event({ type: 5 }), ['invalid_event_type']],
  [event({ event_type: '' }), ['invalid_event_type'], { ...PLAIN, defaultType: 'log' }],
  [event({ event_type: 'Metric' }), ['invalid_event_type']],
  [event({ event_type: ['metric'] }), ['invalid_event_type']],

  [event({ timestamp: undefined }), ['missing_timestamp']],
  [event({ timestamp: null }), ['missing_timestamp']],
  [event({ timestamp: '' }), ['invalid_timestamp']],
  [event({ timestamp: 1_775_822_400 }), ['invalid_timestamp']],
  [event({ timestamp: '12' }), ['invalid_timestamp']],
  [event({ timestamp: 'Apr 10 2026' }), ['invalid_timestamp']],
  [event({ timestamp: '2026-04-10T12:00:00' }), ['invalid_timestamp']],
  [event({ timestamp: '2026-04-10T12:00:00' }), [], ASSUME_UTC],
  [event({ timestamp: '2026-04-10 12:00:00Z' }), ['invalid_timestamp']],
  [event({ timestamp: '2026-04-10 14:00:00+02:00' }), [], ASSUME_UTC],
  [event({ timestamp: '2026-04-10t12:00:00z' }), []],
  [event({ timestamp: '2026-04-10T12:00:60Z' }), ['invalid_timestamp']],
  [event({ timestamp: '2026-04-10T24:00:00Z' }), ['invalid_timestamp']],
  [event({ timestamp: '2026-04-10T12:00Z' }), ['invalid_timestamp']],
  [event({ timestamp: '2026-04-10T12:00:00.Z' }), ['invalid_timestamp']],
  [event({ timestamp: '2026-04-10T12:00:00+24:00' }), ['invalid_timestamp']],
  [event({ timestamp: '2026-02-29T12:00:00Z' }), ['invalid_timestamp']],
  [event({ timestamp: '2024-02-29T12:00:00Z' }), []],
  [event({ timestamp: `2026-04-10T12:00:00.${'9'.repeat(100)}Z` }), []],
  [event({ timestamp: '2026-04-11T12:00:00.5009Z' }), []],
  [event({ timestamp: '2026-04-11T12:00:00.501Z' }), ['timestamp_in_future']],
  [event({ timestamp: '9999-12-31T23:59:59Z' }), ['timestamp_in_future']],
  [event({ timestamp: '2000-01-01T00:00:00Z' }), []],
  [event({ timestamp: '1999-12-31T23:59:59.999Z' }), ['timestamp_too_old']],
  [event({ timestamp: '1999-12-31T23:59:59-00:01' }), []],
  [event({ timestamp: '2000-01-01T00:00:00+00:01' }), ['timestamp_too_old']],
  [event({ timestamp: '0000-12-31T00:00:00Z' }), ['timestamp_too_old']],
  [event({ timestamp: '0000-02-29T00:00:00Z' }), ['timestamp_too_old']],
  [event({ timestamp: '2026-04-09T12:00:00.5Z' }), [], MAX_AGE],
  [event({ timestamp: '2026-04-09T12:00:00.499Z' }), ['timestamp_too_old'], MAX_AGE],

  [event({ metric_name: 5 }), ['invalid_metric_name']],
  [event({ metric_name: '' }), []],
  [event({ value: '12' }), ['invalid_value']],
  [event({ value: 'nan' }), ['invalid_value']],
  [event({ value: true }), ['invalid_value']],
  [withMember('"value" \t\r: "12"'), ['invalid_value']],
  [withMember('"\\u0076alue":"12"'), ['invalid_value']],
  [event({ body: {} }), ['invalid_body']],
  [event({ body: '{}' }), []],
  [event({ trace_id: 12 }), ['invalid_trace_id']],
  [withMember('"trace_id":-0.0000012345678901234567'), ['invalid_trace_id']],
  [event({ attributes: [] }), ['invalid_attributes']],
  [event({ attributes: '{}' }), ['invalid_attributes']],
  [event({ attributes: {} }), []],
  [event({ metric_name: null, value: null, body: null, trace_id: null, attributes: null, type: null }), []],

  [event({}), ['missing_metric_name', 'missing_value'], STRICT],
  [event({ metric_name: 'm' }), ['missing_value'], STRICT],
  [event({ metric_name: '', value: 0 }), [], STRICT],
  [event({ event_type: 'log' }), ['missing_body'], STRICT],
  [event({ event_type: 'log', body: null }), ['missing_body'], STRICT],
  [event({ event_type: 'event', body: '' }), [], STRICT],
  [event({ event_type: 'x' }), ['invalid_event_type'], STRICT],

  ['{}', ['missing_tenant_id', 'missing_service_id', 'missing_event_type', 'missing_timestamp'], STRICT],
  [
    '{"tenant_id":1,"service_id":"","type":"x","timestamp":"x","metric_name":1,"value":"","body":1,"trace_id":1,"attributes":1}',
    [
      'invalid_tenant_id',
      'invalid_service_id',
      'invalid_event_type',
      'invalid_timestamp',
      'invalid_metric_name',
      'invalid_value',
      'invalid_body',
      'invalid_trace_id',
      'invalid_attributes',
    ],
  ],
];

describe('the event contract by hand', () => {
  const cases = BY_HAND.map(([line, , options = PLAIN]): Case => ({ line: Buffer.from(line), options }));

  test.each(cases.map((c, i) => ({ ...c, codes: BY_HAND[i]?.[1] ?? [] })))('line %# breaks $codes', (c) => {
    expect(explain(c.line, c.options).map((violation) => violation.code)).toEqual(c.codes);
  });

  test('the engine gives the first code of each', () => {
    expectSameVerdicts(cases, judge(cases));
  });

  test('there is a case for every code', () => {
    const covered = new Set(BY_HAND.flatMap(([, codes]) => codes));
    expect(ERROR_CODES.filter((code) => !covered.has(code))).toEqual([]);
  });
});

describe('a violation', () => {
  const first = (line: string | Buffer, options = PLAIN) => explain(Buffer.from(line), options)[0];

  test('says what is wrong, what was found and what was expected', () => {
    expect(first(event({ service_id: 'x'.repeat(300) }))).toEqual({
      code: 'invalid_service_id',
      path: 'service_id',
      message: 'service_id is longer than 256 characters',
      found: `"${'x'.repeat(78)}…`,
      expected: 'a string of 1 to 256 characters, none of them a control character',
    });
    expect(first(event({ event_type: undefined, type: 'logs' }))).toEqual({
      code: 'invalid_event_type',
      path: 'type',
      message: 'type is not one of the event types',
      found: '"logs"',
      expected:
        'one of metric, log, trace, event, profile, slo, and the same as event_type where both are given',
    });
    // the first of several reasons for one code
    expect(first(event({ tenant_id: `\n${'x'.repeat(200)}` }))?.message).toBe(
      'tenant_id is longer than 128 characters',
    );
    expect(first(event({ type: 'log' }))).toMatchObject({
      path: 'type',
      message: 'type differs from event_type',
    });
    expect(first(event({ tenant_id: undefined }))).toMatchObject({
      message: 'tenant_id is missing',
      found: 'nothing',
    });
    expect(first(event({ tenant_id: null }))).toMatchObject({
      message: 'tenant_id is missing',
      found: 'null',
    });
    expect(first(withMember('"tenant_id":1'))).toMatchObject({ path: 'tenant_id', found: '"tenant_id"' });
    expect(first('[1]')).toMatchObject({ path: '', found: '[1]' });
    expect(first(event(), { ...PLAIN, maxLine: 10 })).toMatchObject({
      found: '109 bytes',
      expected: 'at most 10 bytes',
    });
    expect(first(event({ timestamp: '2026-05-01T00:00:00Z' }))).toMatchObject({
      message: 'timestamp is more than 24 hours after the line was received',
      expected: 'at most 2026-04-11T12:00:00.500Z',
    });
    expect(first(event({ timestamp: '2026-04-01T00:00:00Z' }), MAX_AGE)).toMatchObject({
      message: 'timestamp is older than the age allowed',
      expected: 'at least 2026-04-09T12:00:00.500Z',
    });
    expect(first('{"a":1,"b" 2}')).toMatchObject({
      message: 'the line is not valid JSON: colon expected at character 12',
      path: 'byte 12',
      found: '2',
    });
    const reason = (line: string | Buffer) => {
      const { path, found, message } = first(line) ?? {};
      return [path, found, message?.replace('the line is not valid JSON: ', '')];
    };
    expect(reason('{"é":"x","value":NaN}')).toEqual(['byte 19', 'NaN', 'invalid symbol at character 18']);
    expect(reason('{"a":[1, 2,]}')).toEqual(['byte 12', ']', 'a comma before the bracket at character 12']);
    expect(reason('{"a":1')).toEqual(['byte 7', 'the end of the line', expect.stringContaining('expected')]);
    expect(reason('{"a":"\\ud83d"}')).toEqual([
      'byte 6',
      '"\\ud83d"',
      'a string escapes half of a surrogate pair',
    ]);
    expect(reason(bytes('\ufeff{"\ufffd":"', [0xe9], '"}'))).toEqual(['byte 12', '0xe9', 'it is not UTF-8']);
    expect(reason('\ufeff{"a":tru}')?.[0]).toBe('byte 9');
    expect(first('{"a":18446744073709551616}')).toMatchObject({
      message: 'the line is not valid JSON: an integer does not fit in 64 bits',
    });
  });

  test('shows no control or format characters', () => {
    expect(first(event({ tenant_id: 'a\u001b[31m\u202e\u0085' }))?.found).toBe(
      '"a\\u001b[31m\\u{202e}\\u{85}"',
    );
    expect(first(bytes('{"a":"', [0x1b, 0x9b], '"}'))?.found).not.toMatch(/\p{C}/u);
  });

  test('takes hostile names for what they are', () => {
    const names = '"__proto__":1,"constructor":{"prototype":1},"toString":2,"hasOwnProperty":3';
    expect(explain(Buffer.from(withMember(names)), PLAIN)).toEqual([]);
    expect(explain(Buffer.from(withMember(`"attributes":{${names}}`)), PLAIN)).toEqual([]);
  });

  test('comes quickly and without a stack overflow from very deep nesting', () => {
    expect(first('['.repeat(300_000))?.code).toBe('invalid_json');
    expect(first('['.repeat(300_000) + ']'.repeat(300_000))?.message).toBe(
      'the line is not valid JSON: it is nested more than 1024 levels deep',
    );
    expect(first('{"a":'.repeat(100_000))?.code).toBe('invalid_json');
  });
});

// --- generated lines -----------------------------------------------------

/** The line ending is no part of a line. */
const withoutLf = (line: Buffer): Buffer => Buffer.from(line.map((byte) => (byte === 0x0a ? 0x0d : byte)));

/** One of several choices in fc.oneof, this many times as likely as a plain one. */
const often = <T>(weight: number, arbitrary: fc.Arbitrary<T>): fc.WeightedArbitrary<T> => ({
  arbitrary,
  weight,
});
/** One of the words of a text. */
const word = (words: string): fc.Arbitrary<string> => fc.constantFrom(...words.split(' '));

/** How a string may be spelled in JSON. */
const SPELLINGS: readonly ((text: string) => string)[] = [
  (text) => JSON.stringify(text),
  (text) => `"${Array.from({ length: text.length }, (_, i) => `\\u${hex4(text.charCodeAt(i))}`).join('')}"`,
  (text) =>
    JSON.stringify(text)
      .replaceAll('/', '\\/')
      .replace(/[a-z]/, (c) => `\\u${hex4(c.charCodeAt(0)).toUpperCase()}`),
];
const hex4 = (code: number): string => code.toString(16).padStart(4, '0');
const spelled = (text: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(text, fc.oneof(often(5, fc.constant(0)), fc.nat(SPELLINGS.length - 1)))
    .map(([value, spelling]) => SPELLINGS[spelling]?.(value) ?? '""');

/** Strings that look like JSON of another type, or like numbers to a lenient reader. */
// biome-ignore format: a list
const LOOKALIKES = [
  '12', '-1', '0', '1e5', '0x10', ' 12', '1.5', '-0.0', 'nan', 'NaN', 'inf', '-inf', 'Infinity', 'true', 'false', 'null',
  'True', '[1]', '[]', '{}', '{"a":1}', '"', '""', '', ' ', '-', '18446744073709551616', '-0.0000012345678901234567',
  '0.0000012345678901234567890', 'metric', 'log', '2026-04-10T12:00:00Z', '\u0000', '\\', '\u2028', '\ufeff', '\ufffd',
];

const codeOf = (character: string): number => character.codePointAt(0) ?? 0;
const codePoint = fc.oneof(
  often(6, fc.integer({ min: 0x20, max: 0x7e })),
  often(2, fc.integer({ min: 0, max: 0xff })),
  often(
    1,
    fc.constantFrom(
      ...Array.from('\u0000\u001f\u007f\u0080\u009f\u00a0\u00ad\u200b\u202e\u2028\ufeff\ufffd', codeOf),
    ),
  ),
  often(1, fc.constantFrom(...Array.from('\ud7ff\ue000\ufffe\uffff\u{10000}\u{1f600}\u{10ffff}', codeOf))),
);
const anyText = fc.array(codePoint, { maxLength: 12 }).map((points) => String.fromCodePoint(...points));
const tamePoint = fc.constantFrom(...'abcXYZ019-_./ é漢😀');
const tameText = fc.array(tamePoint, { minLength: 1, maxLength: 12 }).map((points) => points.join(''));
const edgeLength = fc
  .tuple(
    fc.constantFrom(1, 127, 128, 129, 255, 256, 257),
    fc.constantFrom('x', 'é', '漢', '😀', '👩‍👩', 'e\u0301'),
  )
  .map(([length, unit]) => [...unit.repeat(length)].slice(0, length).join(''));
const someText = fc.oneof(
  often(5, tameText),
  often(3, fc.constantFrom(...LOOKALIKES)),
  often(1, anyText),
  often(1, edgeLength),
);

// biome-ignore format: a list
const NUMBERS = [
  '0', '-0', '-0.0', '1', '1.5', '1e5', '1E+5', '1e-7', '0.000001', '9007199254740993', '9223372036854775807',
  '9223372036854775808', '-9223372036854775808', '-9223372036854775809', '18446744073709551615', '18446744073709551616',
  '18446744073709551616.0', '-9300000000000000000.0', '1e20', '1e21', '-1e19', '99999999999999999999', '1.7976931348623157e308',
  '1.797693134862315807e308', '1.797693134862315808e308', '1.7976931348623159e308', '1e308', '1e309', '-1e309', '1e400', '1e-400',
  '4.9e-324', '2.4703282292062327e-324', '2.4703282292062328e-324', '2.2250738585072011e-308', '0e400', '1e99999999999999999999',
  '1e-99999999999999999999', '0e99999999999999999999', '1e0000000000000000000005', '-0.0000012345678901234567',
];
const digits = fc
  .array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 24 })
  .map((all) => all.join(''));
const number = fc.oneof(
  often(3, fc.constantFrom(...NUMBERS)),
  often(1, word('1. .5 01 -01 00 +1 - 1e 1e+ 1.e5 0x10 1_0 1e5.5 --1 NaN Infinity -Infinity nan')),
  often(4, fc.double({ noNaN: true, noDefaultInfinity: true }).map(String)),
  often(4, fc.integer().map(String)),
  // about the edges of 64-bit integers
  often(
    1,
    fc
      .tuple(
        fc.constantFrom(-(2n ** 63n), 2n ** 63n, 2n ** 64n, 10n ** 19n, 2n ** 53n),
        fc.integer({ min: -3, max: 3 }),
      )
      .map(([edge, step]) => String(edge + BigInt(step))),
  ),
  // any digits, about the edges of a double
  often(
    1,
    fc
      .tuple(
        digits,
        digits,
        fc.constantFrom(0, 5, 300, 308, -300, -308, -324, -340),
        fc.integer({ min: -25, max: 25 }),
      )
      .map(
        ([whole, fraction, exponent, step]) =>
          `${whole.replace(/^0+(?=\d)/, '')}.${fraction}e${exponent + step}`,
      ),
  ),
  often(1, digits),
  often(
    1,
    fc.tuple(digits, fc.integer({ min: 280, max: 320 })).map(([d, zeros]) => `${d}${'0'.repeat(zeros)}.0`),
  ),
);

/** Values that are no JSON, or are so only by a hair. */
// biome-ignore format: a list
const BROKEN = [
  '"\\ud800"', '"\\udc00"', '"\\ud83d\\ude00"', '"\\ud83dx"', '"\\ud83d\\u0041"', '"\\ud800\\ud800"', '"\\x41"', '"\\u12"', '"\\u12g4"',
  '"\\U0041"', '"\\\'"', '"\\', '"', '"\t"', '"\u0000"', '"\u0001"', '"\u001f"', '"\u007f"', '"\\u0000"', '"\\/\\b\\f\\n\\r\\t\\"\\\\"',
  "'x'", 'x', 'tru', 'TRUE', 'nulll', 'undefined', '', '//x', '/**/1', '1 2', '"a""b"', '[1,]', '[,1]', '[1 2]', '{"a":1,}', '{"a" 1}',
  '{"a"}', '{a:1}', '{,}', '[', '{', ']', '}', '[}', '{]',
];

/** Nesting about the parser's limit. */
const deep = fc
  .tuple(
    fc.constantFrom(2, 10, 1020, 1021, 1022, 1023, 1024, 1025),
    fc.constantFrom(['[', ']'], ['{"a":', '}'], ['[1,', ']'], ['[ ', ' ]']),
    fc.constantFrom('', '0', '[]', '{}', '"x"', 'null', '[],{}'),
  )
  .map(([levels, [open = '', close = ''], inside]) => open.repeat(levels) + inside + close.repeat(levels));

// biome-ignore format: a list
const NAMES = ['a', 'b', '', 'id', 'host', 'value', 'type', 'Value', 'a b', 'a.b', '__proto__', 'constructor', 'toString', '12', 'é', '\u0000'];
const json: fc.Arbitrary<string> = fc.letrec<{ value: string; members: string }>((tie) => ({
  members: fc.array(fc.tuple(spelled(fc.constantFrom(...NAMES)), tie('value')), { maxLength: 3 }).map(object),
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    often(4, spelled(someText)),
    often(2, number),
    often(3, fc.constantFrom('true', 'false', 'null', '[]', '{}', ' [ ] ', '{ }')),
    often(
      1,
      fc.array(tie('value'), { maxLength: 3 }).map((all) => `[${all.join(', ')}]`),
    ),
    often(1, tie('members')),
  ),
})).value;
const attributes = fc
  .array(
    fc.tuple(spelled(fc.oneof(fc.constantFrom(...NAMES), tameText)), fc.oneof(spelled(someText), json)),
    { maxLength: 4 },
  )
  .map(object);

function object(members: readonly (readonly [string, string])[]): string {
  return `{${members.map(([key, value]) => `${key}:${value}`).join(',')}}`;
}

/** Times about every edge of the option sets. */
const instant = fc
  .tuple(
    fc.constantFrom(...OPTION_SETS.map((set) => set.receivedAt.getTime()), Date.UTC(2000, 0, 1)),
    fc.constantFrom(0, DAY, -DAY, -3_600_000, 2 * DAY, -400 * DAY, 30 * 365 * DAY),
    fc.constantFrom(0, 0, 1, -1, 999, -999, 60_000),
  )
  .map(([base, distance, step]) => base + distance + step);
const offsets = word('Z Z Z z  +00:00 -00:00 +05:30 -12:00 +23:59 -23:59 +14:00');
const timestamp = fc
  .tuple(
    instant,
    offsets,
    fc.constantFrom('T', 'T', 'T', 't', ' '),
    fc.constantFrom('ms', 'none', 'long', 'nano', 'one'),
    fc.nat(9),
  )
  .map(([ms, offset, gap, precision, digit]) => {
    const sign = offset.startsWith('-') ? -1 : 1;
    const east = offset.length < 2 ? 0 : sign * (Number(offset.slice(1, 3)) * 60 + Number(offset.slice(4)));
    const [whole = '', fraction = ''] = new Date(ms + east * 60_000)
      .toISOString()
      .replace('T', gap)
      .slice(0, 23)
      .split('.');
    const fractions: Record<string, string> = {
      none: '',
      ms: `.${fraction}`,
      long: `.${fraction}${String(digit).repeat(40)}`,
      nano: `.${fraction}${String(digit).repeat(6)}`,
      one: `.${digit}`,
    };
    return `${whole}${fractions[precision] ?? ''}${offset}`;
  });
const two = (value: number): string => String(value).padStart(2, '0');
const year = word(
  '0000 0001 0004 0100 0400 1000 1582 1752 1899 1900 1970 1999 2000 2001 2024 2025 2026 2027 2038 2100 ' +
    '2106 2107 2149 2262 2299 2300 2400 2999 3000 9999',
);
const anyDate = fc
  .tuple(
    year,
    fc.integer({ min: 0, max: 13 }),
    fc.oneof(fc.integer({ min: 0, max: 32 }), fc.constantFrom(28, 29, 30, 31)),
    fc.oneof(fc.constantFrom('00', '23'), fc.integer({ min: 0, max: 25 }).map(two)),
    word('00 59 60'),
    word('00 59 59 60 61'),
    fc.constantFrom('', '.0', '.999', '.9999999999', '.', ',5', '.5.5', `.${'0'.repeat(30)}1`),
    fc.oneof(
      often(3, word('Z Z -23:59 +00:00')),
      fc.constantFrom('', ' Z', 'Z\n'),
      word('+24:00 +23:60 +0100 +01 UTC'),
    ),
  )
  .map(
    ([y, month, day, hour, minute, second, fraction, offset]) =>
      `${y}-${two(month)}-${two(day)}T${hour}:${minute}:${second}${fraction}${offset}`,
  );
/** Days that are in the calendar or not. */
const calendar = fc
  .tuple(
    word('0000 0400 1999 2000 2001 2024 2025 2026 2100'),
    word('02-28 02-29 02-30 02-31 04-30 04-31 06-31 09-31 11-31 12-31 01-31 01-32 01-00 00-01 13-01'),
    word('T00:00:00Z T12:00:00Z T23:59:59Z T23:59:59-23:59 t00:00:00z'),
  )
  .map(([y, day, time]) => `${y}-${day}${time}`);
// biome-ignore format: a list
const oddTimestamp = fc.constantFrom(
  '', '12', '1775822400', '2026-04-10', '2026-04-10T12:00Z', '20260410T120000Z', 'Apr 10 2026', '+2026-04-10T12:00:00Z', ' 2026-04-10T12:00:00Z',
  '2026-04-10T12:00:00Z ', '2026-04-10  12:00:00', '2026-04-10T12:00:00 Z', '2026-4-10T12:00:00Z', '２026-04-10T12:00:00Z', '2026-04-10T12:00:00−01:00',
  '2026-W15-5T12:00:00Z', '2026-04-10T12:00:00Z[UTC]', '10000-01-01T00:00:00Z', '-001-01-01T00:00:00Z',
);
const someTimestamp = fc.oneof(
  often(4, timestamp),
  often(2, anyDate),
  often(2, calendar),
  often(1, oddTimestamp),
);

/** A value for each field that the contract takes, mostly. */
const GOOD: Record<string, fc.Arbitrary<string>> = {
  tenant_id: spelled(fc.oneof(often(4, tameText), word('12 true null [1] {}'))),
  service_id: spelled(fc.oneof(often(4, tameText), word('12 false null [1] {}'))),
  event_type: spelled(word('metric log trace event profile slo')),
  type: spelled(word('metric log trace event profile slo')),
  timestamp: spelled(
    fc.oneof(
      often(4, word('2026-04-10T11:59:59.123456Z 2000-01-01T12:00:00Z 2026-04-10T12:00:00+02:00')),
      timestamp,
    ),
  ),
  metric_name: spelled(someText),
  value: fc.oneof(
    often(3, fc.double({ noNaN: true, noDefaultInfinity: true }).map(String)),
    often(3, fc.integer().map(String)),
    number,
  ),
  body: spelled(someText),
  trace_id: spelled(someText),
  attributes,
};
/** Values that give the engine no reason to look twice, so that a single fault has to be found by itself. */
const ORDINARY: Record<string, fc.Arbitrary<string>> = {
  tenant_id: word('"acme-corp" "acme-corp" "globex"'),
  service_id: word('"payment-api" "search"'),
  event_type: word('"metric" "log" "trace" "event" "profile" "slo"'),
  timestamp: word('"2026-04-10T11:59:59.123456Z" "2000-01-01T12:00:00Z" "2026-04-10T12:00:00+02:00"'),
  metric_name: word('"http.requests" "latency_ms"'),
  value: word('1 -2.5 1e3'),
  body: fc.constantFrom('"paid"', '"a request was served"'),
  trace_id: word('"a3ce929d0e0e4736" "c0ffee"'),
  attributes: word('{"region":"eu-west-1"} {"region":"us","host":"h7"}'),
};
const FIELDS = Object.keys(GOOD);
const REQUIRED = ['tenant_id', 'service_id', 'event_type', 'timestamp'];

/** Values meant to break the rule of a field, or the JSON. */
const odd = (field: string): fc.Arbitrary<string> =>
  fc.oneof(
    often(4, field === 'timestamp' ? spelled(someTimestamp) : spelled(someText)),
    often(3, json),
    often(2, number),
    often(3, word('null "" true false [] {} [1] ["x"] [["a","b"]] {"a":1} "12" "nan" 12')),
    often(1, word('["longer_than_any_number_can_be_written"] {"a":"longer_than_any_number"}')),
    often(1, GOOD[field] ?? json),
    often(1, fc.constantFrom(...BROKEN)),
  );

type Members = [key: string, value: string][];
type Fault = (members: Members) => Members;
const at = (index: number, members: Members): number => (members.length === 0 ? 0 : index % members.length);

const fault: fc.Arbitrary<Fault> = fc.oneof(
  // a value replaced
  often(
    10,
    fc
      .constantFrom(...FIELDS)
      .chain((field) => fc.tuple(fc.constant(field), spelled(fc.constant(field)), odd(field)))
      .map(
        ([field, key, value]): Fault =>
          (members) => [...members.filter(([other]) => other !== `"${field}"`), [key, value]],
      ),
  ),
  // a field left out
  often(
    2,
    fc.constantFrom(...REQUIRED).map(
      (field): Fault =>
        (members) =>
          members.filter(([key]) => key !== `"${field}"`),
    ),
  ),
  // a member twice, its key perhaps spelled otherwise, its value perhaps another
  often(
    1,
    fc.tuple(fc.nat(20), fc.nat(SPELLINGS.length - 1), fc.option(json), fc.boolean()).map(
      ([index, spelling, value, first]): Fault =>
        (members) => {
          const member = members[at(index, members)];
          if (member === undefined || !/^"\w+"$/.test(member[0])) {
            return members;
          }
          const again: Members = [[SPELLINGS[spelling]?.(member[0].slice(1, -1)) ?? '', value ?? member[1]]];
          return first ? [...again, ...members] : [...members, ...again];
        },
    ),
  ),
  // keys spelled with escapes
  often(
    2,
    fc.tuple(fc.nat(20), fc.nat(SPELLINGS.length - 1)).map(
      ([index, spelling]): Fault =>
        (members) =>
          members.map(([key, value], i) =>
            i === at(index, members) && /^"\w+"$/.test(key)
              ? [SPELLINGS[spelling]?.(key.slice(1, -1)) ?? key, value]
              : [key, value],
          ),
    ),
  ),
  // fields outside the contract
  often(
    4,
    fc
      .array(
        fc.tuple(
          spelled(fc.oneof(fc.constantFrom(...NAMES), someText)),
          fc.oneof(often(20, json), often(1, deep)),
        ),
        { minLength: 1, maxLength: 3 },
      )
      .map(
        (extras): Fault =>
          (members) => [...members, ...extras.map(([key, value]): [string, string] => [key, value])],
      ),
  ),
  // deep attributes
  often(
    1,
    deep.map(
      (value): Fault =>
        (members) => [...members, ['"attributes"', `{"deep":${value}}`]],
    ),
  ),
);

const space = fc.oneof(often(6, fc.constant('')), fc.constantFrom(' ', '\t', '\r', ' \r\t '));
const edge = fc.oneof(
  often(20, fc.constant('')),
  often(2, fc.constantFrom(' ', '\r', '\t ', '\ufeff', '\ufeff ')),
  fc.constantFrom(...'\f\v\u00a0\u0000,}{["', '\ufeff\ufeff', ' \ufeff', '{}', 'null', '//'),
);

const ordinary = fc.tuple(
  fc.record(ORDINARY, { requiredKeys: REQUIRED }),
  fc.boolean(),
  fc.array(fault, { minLength: 1, maxLength: 1 }),
  fc.oneof(often(4, fc.constant(['', '', '', ''])), fc.tuple(space, space, edge, edge)),
);
const unusual = fc.tuple(
  fc.record(GOOD, { requiredKeys: REQUIRED }),
  fc.boolean(),
  fc.oneof(often(2, fc.constant<Fault[]>([])), fc.array(fault, { minLength: 1, maxLength: 3 })),
  fc.tuple(space, space, edge, edge),
);
const wellFormed = fc
  .oneof(ordinary, unusual)
  .map(([fields, keepType, faults, [gap = '', pad = '', before = '', after = '']]) => {
    const members = Object.entries(fields)
      // two types that differ would drown the rest
      .filter(([field]) => field !== 'type' || keepType)
      .map(([field, value]): [string, string] => [
        `"${field}"`,
        field === 'type' ? (fields.event_type ?? value) : value,
      ]);
    const all = faults.reduce((made, apply) => apply(made), members);
    const body = all.map(([key, value]) => `${key}${gap}:${pad}${value}${gap}`).join(`,${pad}`);
    return Buffer.from(`${before}${pad}{${gap}${body}}${after}`);
  });

/** A change of the bytes of a line, at a place given as a fraction of its length. */
const edit = fc.tuple(
  fc.constantFrom('insert', 'delete', 'replace', 'flip', 'cut', 'double', 'swap'),
  fc.nat(999).map((thousandths) => thousandths / 1000),
  fc.oneof(
    fc.constantFrom(...'{}[],:"\\0123456789eE+-. \t\r/*tfnul\'').map((character) => Buffer.from(character)),
    fc.uint8Array({ minLength: 1, maxLength: 3 }).map((some) => Buffer.from(some)),
    fc
      .constantFrom(
        [0xff],
        [0xc3],
        [0xc0, 0x80],
        [0xed, 0xa0, 0x80],
        [0xf4, 0x90, 0x80, 0x80],
        [0xef, 0xbb, 0xbf],
        [0],
        [0xe2, 0x80],
      )
      .map((some) => Buffer.from(some)),
  ),
);

function edited(line: Buffer, [how, where, some]: readonly [string, number, Buffer]): Buffer {
  const place = Math.floor(where * line.length);
  const before = line.subarray(0, place);
  const after = line.subarray(place);
  switch (how) {
    case 'insert':
      return Buffer.concat([before, some, after]);
    case 'delete':
      return Buffer.concat([before, after.subarray(some.length)]);
    case 'replace':
      return Buffer.concat([before, some, after.subarray(some.length)]);
    case 'flip':
      return Buffer.concat([
        before,
        Buffer.from(after.subarray(0, 1).map((byte) => byte ^ (1 << ((some[0] ?? 0) % 8)))),
        after.subarray(1),
      ]);
    case 'cut':
      return where < 0.5 ? Buffer.from(after) : Buffer.from(before);
    case 'double':
      return Buffer.concat([before, after.subarray(0, 8), after]);
    default:
      return Buffer.concat([before, after.subarray(1, 2), after.subarray(0, 1), after.subarray(2)]);
  }
}

const line = fc.oneof(
  often(32, wellFormed),
  often(
    8,
    fc
      .tuple(wellFormed, fc.array(edit, { minLength: 1, maxLength: 2 }))
      .map(([base, edits]) => edits.reduce(edited, base)),
  ),
  // values where names should be
  often(
    1,
    fc.record(ORDINARY).map((fields) => {
      const [tenant, service, type, ...others] = Object.values(fields);
      return Buffer.from(`[${[tenant, service, type, type, ...others].join(',')}]`);
    }),
  ),
  often(
    2,
    fc.oneof(json, deep, fc.constantFrom(...BROKEN)).map((text) => Buffer.from(text)),
  ),
  often(
    1,
    fc.uint8Array({ maxLength: 12 }).map((some) => Buffer.from(some)),
  ),
);

const generated = fc
  .tuple(line, fc.nat(OPTION_SETS.length - 1))
  .map(([made, set]): Case => ({ line: withoutLf(made), options: OPTION_SETS[set] ?? PLAIN }));

// --- what an accepted line must keep --------------------------------------

/** Equal as JSON: numbers by value, whatever their sign of zero. */
function same(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return a === b;
  }
  if (Array.isArray(a) !== Array.isArray(b)) {
    return false;
  }
  const left = Object.entries(a);
  const right = new Map<string, unknown>(Object.entries(b));
  return (
    left.length === right.size && left.every(([key, value]) => right.has(key) && same(value, right.get(key)))
  );
}

/** The JSON in a text; undefined, which is no JSON, if there is none. */
function parsed(text = ''): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Attributes are kept as text: strings as they are, null as nothing, the rest as JSON. */
function sameText(text: string | undefined, value: unknown): boolean {
  if (typeof value === 'string' || value === null) {
    return text === (value ?? '');
  }
  return same(parsed(text), value);
}

/** What the engine would lose or change of an accepted line. */
function losses({ line, options }: Case, stored: Judged): string[] {
  const sent = JSON.parse(new TextDecoder().decode(line)) as Record<string, unknown>;
  const field = (name: string): unknown => (Object.hasOwn(sent, name) ? sent[name] : undefined) ?? undefined;
  const found: string[] = [];
  const check = (name: string, kept: unknown, wanted: unknown): void => {
    if (!same(kept, wanted)) {
      found.push(`${name} is stored as ${JSON.stringify(kept)}, sent as ${JSON.stringify(wanted)}`);
    }
  };
  check('tenant_id', stored.tenant_id, field('tenant_id') ?? options.tenant);
  check('event_type', stored.event_type, field('event_type') ?? field('type') ?? options.defaultType);
  check('service_id', stored.service_id, field('service_id'));
  check('metric_name', stored.metric_name, field('metric_name') ?? '');
  check('value', stored.value, field('value') ?? null);
  check('body', stored.body, field('body') ?? '');
  check('trace_id', stored.trace_id, field('trace_id') ?? '');

  const time = String(field('timestamp'))
    .toUpperCase()
    .replace(' ', 'T')
    .replace(/(\.\d{3})\d+/, '$1');
  check('timestamp', stored.ms, Date.parse(/[Z]$|[+-]\d\d:\d\d$/.test(time) ? time : `${time}Z`));

  const attributes = Object.entries(field('attributes') ?? {});
  const kept = new Map(stored.keys.map((key, i) => [key, stored.texts[i]]));
  if (
    attributes.length !== kept.size ||
    !attributes.every(([key, value]) => sameText(kept.get(key), value))
  ) {
    found.push(
      `attributes are stored as ${JSON.stringify([...kept])}, sent as ${JSON.stringify(field('attributes'))}`,
    );
  }

  const extras = Object.entries(sent).filter(([key]) => !FIELDS.includes(key));
  if (extras.length === 0) {
    check('extra', stored.extra, '');
  } else {
    check('extra', parsed(stored.extra), Object.fromEntries(extras));
  }
  if (stored.extra_readable !== 1) {
    found.push(`extra is stored as ${stored.extra}, which the engine cannot read`);
  }
  return found;
}

describe('the event contract on generated lines', () => {
  test(`the engine and the contract give the same verdict on ${LINES} lines, and what is accepted is kept whole`, () => {
    console.log(`INFRASAGE_SEED=${SEED}`);
    const cases = fc.sample(generated, { numRuns: LINES, seed: SEED });
    const judged = judge(cases);
    expectSameVerdicts(cases, judged);

    const verdicts = new Set(judged.map((verdict) => verdict.error));
    expect(
      ERROR_CODES.filter((code) => !verdicts.has(code)),
      'codes that no line has',
    ).toEqual([]);

    const accepted = cases.flatMap((c, i) => {
      const stored = judged[i];
      return stored?.error === '' ? [{ case: c, stored }] : [];
    });
    expect(accepted.length).toBeGreaterThan(LINES / 10);
    expectNone(
      accepted.flatMap(({ case: c, stored }) => losses(c, stored).map((says) => ({ case: c, says }))),
    );
  });
});
