import { z } from 'zod';
import { type Store, uint64 } from '../store/store.ts';
import { batchesOf, type LetterOrigin, originOf } from './dead-letter.ts';
import { type LetterFilter, letterCondition } from './dead-letters.ts';

/** A dead letter with its bytes, and what it was judged with. */
export interface PagedLetter {
  batchId: string;
  line: bigint;
  error: string;
  raw: Buffer;
  origin: LetterOrigin;
}

/** Where a letter stands in the order of the pages. */
export interface LetterPlace {
  batchId: string;
  line: bigint;
}

/** Letters from the first to the last place, both included. */
export interface LetterPage {
  first: LetterPlace;
  last: LetterPlace;
  letters: PagedLetter[];
}

/** Most letters and bytes of a page. */
export interface PageSize {
  letters: number;
  bytes: number;
}

/** What is held in memory at once, and with `dlq replay` becomes one batch. */
export const PAGE: PageSize = { letters: 10_000, bytes: 8_000_000 };

/** All dead letters that a filter lets through, by batch and line, a page at a time. */
export async function* letterPages(
  store: Store,
  filter: LetterFilter,
  size: PageSize = PAGE,
): AsyncGenerator<LetterPage> {
  for (let after: LetterPlace | undefined; ; ) {
    const places = await placesAfter(store, filter, after, size);
    const [first] = places;
    const last = places.at(-1);
    if (!first || !last) return;
    yield { first, last, letters: await lettersBetween(store, filter, { first, last }) };
    after = last;
  }
}

const placeRow = z
  .object({ batch: z.string(), n: uint64, bytes: z.coerce.number() })
  .transform(({ batch, n, bytes }) => ({ batchId: batch, line: n, bytes }));

/** The places of the letters of the next page: one at least, where there are any. */
async function placesAfter(
  store: Store,
  filter: LetterFilter,
  after: LetterPlace | undefined,
  size: PageSize,
): Promise<LetterPlace[]> {
  const replays = after ? 'letter_batch >= {after_batch:String}' : '1';
  const { where, params } = letterCondition(filter, { replays });
  const found = await store.query(
    `SELECT toString(d.batch_id) AS batch, d.line AS n, length(d.raw) AS bytes FROM {{db}}.infrasage_dlq AS d
    WHERE ${where} ${after ? 'AND d.batch_id >= {after_batch:String} AND (d.batch_id, d.line) > ({after_batch:String}, {after_line:UInt64})' : ''}
    ORDER BY d.batch_id, d.line LIMIT {limit:UInt64}`,
    placeRow,
    { ...params, after_batch: after?.batchId ?? '', after_line: after?.line ?? 0n, limit: size.letters },
  );
  let bytes = 0;
  const full = found.findIndex((letter, i) => {
    bytes += letter.bytes;
    return i > 0 && bytes > size.bytes;
  });
  return full < 0 ? found : found.slice(0, full);
}

const letterRow = z.object({ batch: z.string(), n: uint64, error: z.string(), raw: z.string() });

/** The letters of a page, read again. */
export async function lettersBetween(
  store: Store,
  filter: LetterFilter,
  { first, last }: Pick<LetterPage, 'first' | 'last'>,
): Promise<PagedLetter[]> {
  const { where, params } = letterCondition(filter, {
    replays: 'letter_batch >= {first_batch:String} AND letter_batch <= {last_batch:String}',
  });
  const rows = await store.query(
    `SELECT toString(d.batch_id) AS batch, d.line AS n, toString(d.error) AS error, base64Encode(d.raw) AS raw
    FROM {{db}}.infrasage_dlq AS d
    WHERE ${where} AND d.batch_id >= {first_batch:String} AND d.batch_id <= {last_batch:String}
      AND (d.batch_id, d.line) >= ({first_batch:String}, {first_line:UInt64})
      AND (d.batch_id, d.line) <= ({last_batch:String}, {last_line:UInt64})
    ORDER BY d.batch_id, d.line`,
    letterRow,
    {
      ...params,
      first_batch: first.batchId,
      first_line: first.line,
      last_batch: last.batchId,
      last_line: last.line,
    },
  );
  const batches = await batchesOf(store, [...new Set(rows.map(({ batch }) => batch))]);
  return rows.map(({ batch, n, error, raw }) => {
    const letter = { batchId: batch, line: n, error, raw: Buffer.from(raw, 'base64') };
    return { ...letter, origin: originOf(letter, batches.get(batch)) };
  });
}

/** Whether all of the line was kept, as one line. */
export function isWhole({ raw, origin }: Pick<PagedLetter, 'raw' | 'origin'>): boolean {
  return origin.sentBytes === raw.length && !raw.includes(10);
}
