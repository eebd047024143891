import { expect } from 'vitest';
import type { CliResult } from './cli.ts';

/** A failure as an operator must see it: one line on standard error that starts with the program's name, and no stack. */
export function expectFailure(result: CliResult, status: number, words: RegExp): void {
  expect(result.stderr).toMatch(words);
  expect(result.stderr).toMatch(/^infrasage: [^\n]+\n$/);
  expect(result.stderr).not.toMatch(/unexpected error|the engine said/);
  expect(result).toMatchObject({ status, stdout: '' });
}
