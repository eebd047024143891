import { createHash, randomUUID } from 'node:crypto';
import type { LineOptions } from '../store/store.ts';
import type { IngestOptions } from './options.ts';

/**
 * The key that the first batch of an input is chained on. The same bytes with
 * the same options give the same chain, under any name; with other options
 * the outcome may differ, so that is another chain.
 */
export function rootKey({ allowDuplicates, ...options }: IngestOptions): string {
  const identity = allowDuplicates ? randomUUID() : JSON.stringify(lineOptions(options));
  return createHash('sha256').update(`infrasage chain 1\n${identity}`).digest('hex');
}

/** The options that decide what becomes of a line, and no others, always in this order: they are hashed as text. */
export function lineOptions({
  tenant,
  defaultType,
  strict,
  assumeUtc,
  maxAgeSeconds,
  maxLine,
}: LineOptions): LineOptions {
  return { tenant, defaultType, strict, assumeUtc, maxAgeSeconds, maxLine };
}
