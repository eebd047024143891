import type { FileHandle } from 'node:fs/promises';
import { InfrasageError } from '../errors.ts';
import { formatCount } from '../render/text.ts';
import type { FileFormat, Store } from '../store/store.ts';
import { extractOf, type Holding, holding, type Subject, type Wanted } from './extracts.ts';
import { rowCount } from './row-count.ts';

/** What a file has, and what the tables held when it was whole. */
export interface Extracted extends Holding {
  fileBytes: number;
}

/**
 * Has the engine write the rows of a subject to an open, empty file, and counts them there: as many as the tables
 * hold. Where events come meanwhile, the file is as the tables were at one moment between start and end.
 * @throws InfrasageError (exit 3) where the file does not hold what the tables do
 */
export async function extractTo(
  file: FileHandle,
  store: Store,
  {
    subject,
    wanted,
    format,
    onBytes,
  }: { subject: Subject; wanted: Wanted; format: FileFormat; onBytes?: (bytes: number) => void },
): Promise<Extracted> {
  const before = await holding(store, subject, wanted);
  await store.writeResult(extractOf(subject, wanted, format), file, onBytes);
  const rows = await rowCount(file, format);
  const after = await holding(store, subject, wanted);
  if (rows === undefined || !isBetween(rows, before.rows, after.rows)) {
    const found = rows === undefined ? 'breaks off' : `has ${formatCount(rows)} rows`;
    throw new InfrasageError(
      `the file ${found}, where the tables hold ${formatCount(after.rows)}: it was not kept`,
      { hint: 'is the disk full? make space there and run the same command again' },
    );
  }
  const { size } = await file.stat();
  return { ...after, rows, fileBytes: size };
}

function isBetween(value: bigint, one: bigint, other: bigint): boolean {
  return one < other ? one <= value && value <= other : other <= value && value <= one;
}
