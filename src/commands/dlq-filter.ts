import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { type InfrasageError, usageError } from '../errors.ts';
import { ERROR_CODES } from '../ingest/contract.ts';
import { parseMoment, parsePeriod } from '../period.ts';
import { LETTER_STATES, type LetterFilter, type LetterState } from '../reports/dead-letters.ts';
import { oneOf } from './command.ts';

/** Options that say which dead letters. */
export interface FilterOptions {
  error?: string;
  source?: string;
  since?: string;
  until?: string;
}

export function causeOptions(command: Command): Command {
  return command
    .addOption(oneOf('--error <code>', 'only this error code', ERROR_CODES))
    .option('--source <name>', 'only those of this file; - for standard input, http for the API');
}

export function filterOptions(command: Command): Command {
  return causeOptions(command)
    .option('--since <time>', 'only those received since: a span, a date, or RFC 3339')
    .option('--until <time>', 'only those received before');
}

export function stateOption(command: Command): Command {
  return command.addOption(
    oneOf('--state <state>', 'open (not replayed yet), replayed, or all', [...LETTER_STATES, 'all']).default(
      'open',
    ),
  );
}

/** @throws InfrasageError (exit 2) */
export function letterFilter(
  context: Context,
  { since, until, ...options }: FilterOptions,
): Omit<LetterFilter, 'state'> {
  const { now } = context;
  if (since !== undefined && until !== undefined) parsePeriod(since, until, now);
  return {
    ...causeFilter(context, options),
    since: since === undefined ? null : parseMoment(since, '--since', now),
    until: until === undefined ? null : parseMoment(until, '--until', now),
  };
}

/** @throws InfrasageError (exit 2) */
export function causeFilter(
  { config }: Context,
  { error, source }: Pick<FilterOptions, 'error' | 'source'>,
): Pick<LetterFilter, 'tenantId' | 'error' | 'source'> {
  if (error !== undefined && !ERROR_CODES.some((code) => code === error)) {
    throw usageError(`--error ${error} is not an error code`, `use one of ${ERROR_CODES.join(', ')}`);
  }
  return { tenantId: config.tenant ?? null, error: error ?? null, source: source ?? null };
}

/** @throws InfrasageError (exit 2) */
export function parseState(text: string): LetterState | null {
  if (text === 'all') return null;
  const state = LETTER_STATES.find((one) => one === text);
  if (!state) throw usageError(`--state ${text} is not open, replayed or all`);
  return state;
}

/** There are no letters of these ids (exit 2). */
export function noLetter(ids: readonly string[]): InfrasageError {
  return usageError(`there is no dead letter ${ids.join(', ')}`, 'see infrasage dlq list --each');
}
