import { z } from 'zod';
import { type JsonReading, readJson } from '../strict-json.ts';

export const EVENT_TYPES = ['metric', 'log', 'trace', 'event', 'profile', 'slo'] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** Every reason for a dead letter, in the order in which the rules are tried. */
export const ERROR_CODES = [
  'line_too_long',
  'invalid_json',
  'not_an_object',
  'duplicate_key',
  'missing_tenant_id',
  'invalid_tenant_id',
  'missing_service_id',
  'invalid_service_id',
  'missing_event_type',
  'invalid_event_type',
  'missing_timestamp',
  'invalid_timestamp',
  'timestamp_in_future',
  'timestamp_too_old',
  'invalid_metric_name',
  'invalid_value',
  'invalid_body',
  'invalid_trace_id',
  'invalid_attributes',
  'missing_metric_name',
  'missing_value',
  'missing_body',
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

/** What decides the verdict on a line beside the line itself. */
export interface ContractOptions {
  /** Fills an absent tenant_id. */
  tenant?: string | undefined;
  /** Whether only events of that tenant are taken. */
  tenantBound?: boolean | undefined;
  /** Fills an absent event_type. */
  defaultType?: EventType | undefined;
  strict: boolean;
  /** Takes timestamps without an offset as UTC, and a space for the T. */
  assumeUtc: boolean;
  /** Refuses events older than this at receivedAt, milliseconds; none or 0 for no limit. */
  maxAgeMs?: number | undefined;
  /** Longest line, bytes. */
  maxLine: number;
  receivedAt: Date;
}

/** A rule that a line breaks. */
export interface Violation {
  code: ErrorCode;
  /** The field concerned, or the repeated key; empty for the line as a whole. */
  path: string;
  /** One plain sentence, without a full stop. */
  message: string;
  /** An excerpt of what is there, at most 80 characters, without control or format characters. */
  found: string;
  /** What the rule asks for. */
  expected: string;
}

const DAY_MS = 86_400_000;
const EARLIEST_MS = Date.UTC(2000, 0, 1);
const FOUND_LENGTH = 80;

const codeSchema = z.enum(ERROR_CODES);
const typeSchema = z.enum(EVENT_TYPES, 'is not one of the event types');
const textSchema = z.string('is not a string');
const objectSchema = z.record(z.string(), z.unknown(), 'is not an object');
const dateSchema = z.iso.date();

/** A name: lengths are in Unicode code points, control characters those of the category Cc. */
function nameSchema(limit: number) {
  return textSchema
    .min(1, 'is empty')
    .refine((name) => [...name].length <= limit, `is longer than ${limit} characters`)
    .regex(/^\P{Cc}*$/u, 'contains a control character');
}

function fieldsSchema(assumeUtc: boolean) {
  return z.object({
    tenant_id: nameSchema(128),
    service_id: nameSchema(256),
    event_type: typeSchema,
    timestamp: textSchema.refine(
      (text) => parseTimestamp(text, assumeUtc) !== undefined,
      'is not a real date and time in the form asked for',
    ),
    metric_name: textSchema.optional(),
    value: z.number('is not a number').optional(),
    body: textSchema.optional(),
    trace_id: textSchema.optional(),
    attributes: objectSchema.optional(),
  });
}

const FIELDS = { rfc3339: fieldsSchema(false), assumeUtc: fieldsSchema(true) };

const eventSchema = z.object({
  tenant_id: z.string(),
  service_id: z.string(),
  event_type: typeSchema,
  timestamp: z.string(),
});

const agreementSchema = z
  .object({ event_type: z.unknown(), type: z.unknown() })
  .refine(({ event_type, type }) => event_type === undefined || type === undefined || event_type === type, {
    path: ['type'],
    error: 'differs from event_type',
  });

const presentSchema = z.unknown().refine((value) => value !== undefined);
const measuredSchema = z.object({ metric_name: presentSchema, value: presentSchema });
const writtenSchema = z.object({ body: presentSchema });

/** What --strict asks of each type. */
const DEMANDS: Record<EventType, z.ZodType> = {
  metric: measuredSchema,
  trace: measuredSchema,
  slo: measuredSchema,
  profile: measuredSchema,
  log: writtenSchema,
  event: writtenSchema,
};

const EXPECTED_NAME = (limit: number): string =>
  `a string of 1 to ${limit} characters, none of them a control character`;
const EXPECTED_TYPE = `one of ${EVENT_TYPES.join(', ')}`;
const EXPECTED_UTC = 'a time like 2026-04-10T12:00:00Z or 2026-04-10 12:00:00, without an offset in UTC';
const EXPECTED: Record<string, string> = {
  tenant_id: EXPECTED_NAME(128),
  service_id: EXPECTED_NAME(256),
  event_type: EXPECTED_TYPE,
  type: `${EXPECTED_TYPE}, and the same as event_type where both are given`,
  timestamp: 'a time like 2026-04-10T12:00:00Z, with Z or an offset',
  metric_name: 'a string',
  value: 'a number',
  body: 'a string',
  trace_id: 'a string',
  attributes: 'an object',
};

/** What an accepted line is metered as. */
export interface ContractEvent {
  tenantId: string;
  eventType: EventType;
  serviceId: string;
  timestamp: Date;
}

/**
 * Every rule of the event contract that a line breaks, in the order of
 * ERROR_CODES and at most one violation a code; the first one's code is the
 * engine's. Empty for a line that is accepted. Of a line that is too long, not
 * JSON or not an object nothing more can be said. Of a repeated key the first
 * value counts. Never throws on any bytes.
 * @param line the whole line as sent, without its ending
 */
export function explain(line: Uint8Array, options: ContractOptions): Violation[] {
  return judge(line, options).violations;
}

/** The event that a line is, where it breaks no rule; else every rule that it breaks, as explain() gives them. */
export function judge(
  line: Uint8Array,
  options: ContractOptions,
): { event?: ContractEvent; violations: Violation[] } {
  if (line.length > options.maxLine) return { violations: [tooLong(line.length, options)] };
  const json = readJson(line);
  const violations = violationsOf(json, options);
  if (violations.length > 0 || !json.valid) return { violations };
  const fields = eventSchema.parse(fieldsOf(json.members, options));
  const event = {
    tenantId: fields.tenant_id,
    serviceId: fields.service_id,
    eventType: fields.event_type,
    timestamp: new Date(parseTimestamp(fields.timestamp, options.assumeUtc) ?? Number.NaN),
  };
  return { event, violations };
}

/** Of a line whose length alone was kept, why it is too long. */
export function tooLong(bytes: number | bigint, { maxLine }: Pick<ContractOptions, 'maxLine'>): Violation {
  const found = `${bytes} bytes`;
  const expected = `at most ${maxLine} bytes`;
  return { code: 'line_too_long', path: '', message: 'the line is too long', found, expected };
}

function violationsOf(json: JsonReading, options: ContractOptions): Violation[] {
  if (!json.valid) {
    const message = `the line is not valid JSON: ${json.reason}`;
    const found = excerpt(json.near);
    return [{ code: 'invalid_json', path: '', message, found, expected: 'one JSON object in UTF-8' }];
  }
  if (!objectSchema.safeParse(json.value).success) {
    const message = 'the line is valid JSON but not an object';
    const found = shown(json.value);
    return [{ code: 'not_an_object', path: '', message, found, expected: 'one JSON object' }];
  }

  const violations: Violation[] = [];
  const [repeated] = json.repeated;
  if (repeated !== undefined) {
    violations.push({
      code: 'duplicate_key',
      path: excerpt(repeated),
      message: 'a top-level key occurs more than once',
      found: excerpt(json.repeated.map((key) => JSON.stringify(key)).join(', ')),
      expected: 'each top-level key once',
    });
  }
  violations.push(...explainFields(json.members, options));
  return inTableOrder(violations);
}

/**
 * The time an RFC 3339 timestamp names, in milliseconds since 1970 with any
 * finer fraction cut off; undefined if it is none, or not a real date and time.
 * @param assumeUtc whether a time without an offset is UTC and a space may stand for the T
 */
export function parseTimestamp(text: string, assumeUtc: boolean): number | undefined {
  const [, date, gap, time, fraction = '', offset] =
    /^(\d{4}-\d{2}-\d{2})([Tt ])((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d+))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?$/.exec(
      text,
    ) ?? [];
  if (!dateSchema.safeParse(date).success || (!assumeUtc && (gap === ' ' || offset === undefined))) {
    return undefined;
  }
  const local = Date.parse(`${date}T${time}.${fraction.slice(0, 3).padEnd(3, '0')}Z`);
  return local - offsetMinutes(offset) * 60_000;
}

/** Minutes east of UTC. */
function offsetMinutes(offset = 'Z'): number {
  if (offset.length === 1) {
    return 0;
  }
  const minutes = Number(offset.slice(1, 3)) * 60 + Number(offset.slice(4));
  return offset.startsWith('-') ? -minutes : minutes;
}

/** The fields of the contract, with what fills those that are absent. */
function fieldsOf(members: ReadonlyMap<string, unknown>, options: ContractOptions) {
  const given = (field: string): unknown => members.get(field) ?? undefined;
  return {
    tenant_id: given('tenant_id') ?? options.tenant,
    service_id: given('service_id'),
    event_type: given('event_type') ?? given('type') ?? options.defaultType,
    timestamp: given('timestamp'),
    metric_name: given('metric_name'),
    value: given('value'),
    body: given('body'),
    trace_id: given('trace_id'),
    attributes: given('attributes'),
  };
}

function explainFields(members: ReadonlyMap<string, unknown>, options: ContractOptions): Violation[] {
  const given = (field: string): unknown => members.get(field) ?? undefined;
  const fields = fieldsOf(members, options);
  const typeField = given('event_type') === undefined && given('type') !== undefined ? 'type' : 'event_type';

  const broken = (issue: z.core.$ZodIssue): Violation => {
    const field = String(issue.path[0]) as keyof typeof fields;
    const missing = field in fields && fields[field] === undefined;
    const path = field === 'event_type' ? typeField : field;
    return {
      code: codeSchema.parse(`${missing ? 'missing' : 'invalid'}_${path === 'type' ? 'event_type' : field}`),
      path,
      message: missing ? `${path} is missing` : `${path} ${issue.message}`,
      found: path === 'type' ? shown(given('type')) : shown(missing ? members.get(field) : fields[field]),
      expected: (path === 'timestamp' && options.assumeUtc ? EXPECTED_UTC : EXPECTED[path]) ?? '',
    };
  };

  const type = typeSchema.safeParse(fields.event_type);
  const checks: [z.ZodType, unknown][] = [
    [options.assumeUtc ? FIELDS.assumeUtc : FIELDS.rfc3339, fields],
    [agreementSchema, { event_type: given('event_type'), type: given('type') }],
  ];
  if (options.strict && type.success) {
    checks.push([DEMANDS[type.data], fields]);
  }
  return [
    ...checks.flatMap(([schema, input]) => (schema.safeParse(input).error?.issues ?? []).map(broken)),
    ...explainBinding(fields.tenant_id, options),
    ...explainAge(fields.timestamp, options),
  ];
}

/** Whether an event is of the tenant that its line is bound to. */
function explainBinding(named: unknown, { tenant, tenantBound }: ContractOptions): Violation[] {
  if (!tenantBound || named === undefined || named === tenant) {
    return [];
  }
  return [
    {
      code: 'invalid_tenant_id',
      path: 'tenant_id',
      message: 'tenant_id is not the tenant of the credentials it was sent with',
      found: shown(named),
      expected: `${shown(tenant)}, or none`,
    },
  ];
}

/** Whether a valid timestamp is one to take now. */
function explainAge(timestamp: unknown, options: ContractOptions): Violation[] {
  const time = typeof timestamp === 'string' ? parseTimestamp(timestamp, options.assumeUtc) : undefined;
  if (time === undefined) {
    return [];
  }
  const received = options.receivedAt.getTime();
  const latest = received + DAY_MS;
  const oldest = options.maxAgeMs ? Math.max(EARLIEST_MS, received - options.maxAgeMs) : EARLIEST_MS;
  const seen = { path: 'timestamp', found: shown(timestamp) };
  if (time > latest) {
    const message = 'timestamp is more than 24 hours after the line was received';
    return [{ code: 'timestamp_in_future', ...seen, message, expected: `at most ${isoTime(latest)}` }];
  }
  if (time < oldest) {
    const reason = oldest === EARLIEST_MS ? 'before the year 2000' : 'older than the age allowed';
    const message = `timestamp is ${reason}`;
    return [{ code: 'timestamp_too_old', ...seen, message, expected: `at least ${isoTime(oldest)}` }];
  }
  return [];
}

/** The first violation of each code, in the order of the rules. */
function inTableOrder(violations: readonly Violation[]): Violation[] {
  return ERROR_CODES.flatMap((code) => violations.find((violation) => violation.code === code) ?? []);
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

function shown(value: unknown): string {
  return value === undefined ? 'nothing' : excerpt(JSON.stringify(value));
}

/** The start of a text, with what a terminal would act on spelled out. */
function excerpt(text: string): string {
  let kept = '';
  for (const character of text) {
    const piece = /[\p{C}\p{Zl}\p{Zp}]/u.test(character)
      ? `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
      : character;
    if (kept.length + piece.length >= FOUND_LENGTH) {
      return `${kept}…`;
    }
    kept += piece;
  }
  return kept;
}
