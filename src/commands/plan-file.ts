import { readFile, stat } from 'node:fs/promises';
import { usageError } from '../errors.ts';
import { type Plan, parsePlan } from '../plans/plan.ts';

/** Longest file that is read; the reader of plans refuses far shorter ones. */
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * Reads the file of a price plan.
 * @throws InfrasageError (exit 2) where it cannot be read, or is no plan: with line and reason
 */
export async function readPlanFile(path: string): Promise<{ plan: Plan; text: string }> {
  const bytes = await contentOf(path);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw usageError(`${path} is not UTF-8`, 'price plans: docs/billing.md');
  }
  return { plan: await parsePlan(text, path), text };
}

async function contentOf(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > MAX_BYTES) throw usageError(`${path} is too long for a price plan`);
    return await readFile(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT') throw usageError(`there is no file ${path}`);
    if (code === 'EISDIR') throw usageError(`${path} is a directory`);
    if (code === undefined) throw error;
    throw usageError(`${path} cannot be read (${String(code)})`);
  }
}
