import { readFile, stat } from 'node:fs/promises';
import { InfrasageError, usageError } from '../errors.ts';
import { type Plan, parsePlan } from '../plans/plan.ts';

/** Longest file that is read; the reader of plans refuses far shorter ones. */
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * Reads the file of a price plan.
 * @throws InfrasageError (exit 3) where it cannot be read; (exit 2) where it is no plan: with line and reason
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
    if (code === 'ENOENT') throw new InfrasageError(`there is no file ${path}`, { hint: 'check the name' });
    if (code === 'EISDIR') throw new InfrasageError(`${path} is a directory`);
    if (code === undefined) throw error;
    throw new InfrasageError(`${path} cannot be read (${String(code)})`, { cause: error });
  }
}
