import { z } from 'zod';
import { type JsonReading, readJson } from '../strict-json.ts';
import { type ContractEvent, type ContractOptions, ERROR_CODES, type Violation } from './contract.ts';
import { excerpt, shown } from './excerpt.ts';
import { explainFields, fieldsOf, objectSchema, typeSchema } from './field-rules.ts';
import { parseTimestamp } from './timestamp.ts';

const eventSchema = z.object({
  tenant_id: z.string(),
  service_id: z.string(),
  event_type: typeSchema,
  timestamp: z.string(),
});

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
    const path = `byte ${json.byte}`;
    const found = excerpt(json.found);
    return [{ code: 'invalid_json', path, message, found, expected: 'one JSON object in UTF-8' }];
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

/** The first violation of each code, in the order of the rules. */
function inTableOrder(violations: readonly Violation[]): Violation[] {
  return ERROR_CODES.flatMap((code) => violations.find((violation) => violation.code === code) ?? []);
}
