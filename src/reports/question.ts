import { z } from 'zod';
import { usageError } from '../errors.ts';
import { jsonValue } from '../render/json.ts';
import { printable } from '../render/text.ts';
import type { Store } from '../store/store.ts';

/** What a statement of the user's own has given. */
export interface Answer {
  columns: { name: string; type: string }[];
  /** Values by column: numbers, bigint where a number would round, text, and lists and objects of them. */
  rows: unknown[][];
  /** Whether there were more rows than asked for. */
  more: boolean;
}

const names = z.array(z.string());

/**
 * Asks the engine something that only reads.
 * @param question.limit most rows of the answer
 * @throws InfrasageError (exit 2) where the engine refuses it, (exit 3) where it cannot be asked
 */
export async function ask(
  store: Store,
  { sql, params, limit }: { sql: string; params: Record<string, string>; limit: number },
): Promise<Answer> {
  // One more, to know whether there are more.
  const text = await store.ask({ sql, params, maxRows: limit + 1 });
  const [first, second, ...rows] = text
    .split('\n')
    .filter((line) => line !== '')
    .map(parsed);
  const columns = names.safeParse(first ?? []);
  const types = names.safeParse(second ?? []);
  if (!columns.success || !types.success || !rows.every(Array.isArray))
    throw usageError(
      'the statement has a FORMAT of its own',
      'leave it out; --format says how rows are printed',
    );
  return {
    columns: distinct(columns.data.map(printable)).map((name, i) => ({ name, type: types.data[i] ?? '' })),
    rows: rows.slice(0, limit),
    more: rows.length > limit,
  };
}

function parsed(line: string): unknown {
  try {
    return jsonValue(line);
  } catch {
    return undefined;
  }
}

/** Names as they are; what comes again is told apart by its number, so that no column takes another's place. */
function distinct(all: readonly string[]): string[] {
  const taken = new Set<string>();
  return all.map((name) => {
    let free = name;
    for (let times = 2; taken.has(free); times++) free = `${name}_${times}`;
    taken.add(free);
    return free;
  });
}
