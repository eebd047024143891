import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { storeFailure } from '../store/failure.ts';
import type { Batch } from './batch.ts';

/** A batch on disk, where the engine reads it. */
export interface SpoolFile {
  path: string;
  remove(): Promise<void>;
}

/**
 * Writes a batch's lines to a file of the spool folder. Handing the engine a
 * file is several times faster than handing it a buffer, and keeps what came
 * from standard input through a crash of this process.
 * @throws InfrasageError (exit 3) where the disk is full
 */
export async function spool(dir: string, batchId: string, batch: Batch): Promise<SpoolFile> {
  const path = join(dir, `${batchId}.ndjson`);
  try {
    const file = await open(path, 'w', 0o600);
    try {
      await file.writev(batch.pieces as NodeJS.ArrayBufferView[]);
    } finally {
      await file.close();
    }
  } catch (error) {
    await rm(path, { force: true });
    throw storeFailure(error);
  }
  return { path, remove: () => rm(path, { force: true }) };
}
