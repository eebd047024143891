import { Option } from 'commander';
import { isoTime } from '../period.ts';

/** The option of the reports that can be given as they were at a time. */
export function asOfOption(): Option {
  return new Option(
    '--as-of <time>',
    'the report as of this time: without what was ingested later; spans go back from it',
  );
}

/** What a title says of it: `, as of 2026-11-02T08:00:00Z`. */
export function asOfWords(asOf: Date | null): string {
  return asOf ? `, as of ${isoTime(asOf)}` : '';
}
