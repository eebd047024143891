import { isLosslessNumber, parse, stringify } from 'lossless-json';
import { z } from 'zod';
import { usageError } from '../errors.ts';
import { readJson } from '../strict-json.ts';

/** Fields that are no strings; all others are set to the text as it is. */
const JSON_FIELDS: Record<string, { schema: z.ZodType; what: string }> = {
  value: { schema: z.custom(isLosslessNumber), what: 'a number' },
  attributes: {
    schema: z.custom(
      (value) =>
        typeof value === 'object' && value !== null && !Array.isArray(value) && !isLosslessNumber(value),
    ),
    what: 'a JSON object that can be kept as it is',
  },
};

/**
 * What `--set field=value` sets.
 * @throws InfrasageError (exit 2)
 */
export function parseChange(text: string): [field: string, value: unknown] {
  const [, field, value = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (field === undefined)
    throw usageError(`--set ${text} is not field=value`, 'such as service_id=checkout-api');
  const kind = Object.hasOwn(JSON_FIELDS, field) ? JSON_FIELDS[field] : undefined;
  if (!kind) return [field, value];
  const parsed = kind.schema.safeParse(exactJson(value));
  if (!parsed.success) throw usageError(`--set ${text}: ${field} must be ${kind.what}`);
  return [field, parsed.data];
}

/** What JSON says, its numbers as they are written; undefined where a line may not say it, or a part would be lost. */
function exactJson(text: string): unknown {
  if (!readJson(Buffer.from(text)).valid) return undefined;
  try {
    const value = parse(text);
    const kept = JSON.stringify(JSON.parse(stringify(value) ?? ''));
    return kept === JSON.stringify(JSON.parse(text)) ? value : undefined;
  } catch {
    // A key that is repeated with another value.
    return undefined;
  }
}
