import { z } from 'zod';
import { usageError } from '../errors.ts';
import { byteCount, eventCount } from '../quantity.ts';

/**
 * A number of events: 1000000, 1_000_000, 100M, 2.5B. Exact: a fraction of an event is refused.
 * @throws InfrasageError (exit 2)
 */
export function parseEvents(text: string): bigint {
  const amount = eventCount(text);
  if (amount === undefined) {
    throw usageError(`${text} is not a number of events`, 'write it like 1000000, 100M or 2.5B');
  }
  return amount;
}

/**
 * A number of bytes: 1000000, 500GB (10^9), 1.5TiB (2^40).
 * @throws InfrasageError (exit 2)
 */
export function parseBytes(text: string): bigint {
  const amount = byteCount(text);
  if (amount === undefined)
    throw usageError(`${text} is not a number of bytes`, 'write it like 1000000, 500GB or 1.5TiB');
  return amount;
}

const percentSchema = z
  .string()
  .regex(/^\d{1,4}(\.\d{1,2})?%?$/)
  .transform((text) => Number(text.replace('%', '')))
  .refine((percent) => percent >= 1 && percent <= 1000);

/**
 * A share of a quota: 80, 99.5%; 1 to 1000, at most two decimals.
 * @throws InfrasageError (exit 2)
 */
export function parsePercent(text: string): number {
  const percent = percentSchema.safeParse(text);
  if (!percent.success)
    throw usageError(`${text} is not a percentage from 1 to 1000`, 'write it like 80 or 99.5');
  return percent.data;
}

/**
 * The number of rows of `--limit`.
 * @throws InfrasageError (exit 2)
 */
export function parseLimit(text: string): number {
  const rows = Number(text);
  if (!Number.isInteger(rows) || rows < 1 || rows > 1_000_000)
    throw usageError(`--limit ${text} is not a number of rows`);
  return rows;
}
