import { z } from 'zod';
import {
  type ContractOptions,
  ERROR_CODES,
  EVENT_TYPES,
  type EventType,
  type Violation,
} from './contract.ts';
import { shown } from './excerpt.ts';
import { parseTimestamp } from './timestamp.ts';

const DAY_MS = 86_400_000;
const EARLIEST_MS = Date.UTC(2000, 0, 1);

const codeSchema = z.enum(ERROR_CODES);
export const typeSchema = z.enum(EVENT_TYPES, 'is not one of the event types');
const textSchema = z.string('is not a string');
export const objectSchema = z.record(z.string(), z.unknown(), 'is not an object');

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

/** The fields of the contract, with what fills those that are absent. */
export function fieldsOf(members: ReadonlyMap<string, unknown>, options: ContractOptions) {
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

/** Every rule of the fields that an object breaks, in no order; a code may come several times. */
export function explainFields(members: ReadonlyMap<string, unknown>, options: ContractOptions): Violation[] {
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

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
