import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DISK_FULL, storeFailure } from '../store/failure.ts';

/** Where a batch is spooled. */
export function spoolPath(dir: string, batchId: string): string {
  return join(dir, `${batchId}.ndjson`);
}

/**
 * Writes a batch's lines to a file of the spool folder. Handing the engine a
 * file is several times faster than handing it a buffer, and keeps what came
 * from standard input through a crash of this process.
 * @returns the file's path
 * @throws InfrasageError (exit 3) where the disk is full
 */
export async function spool(dir: string, batchId: string, pieces: readonly Uint8Array[]): Promise<string> {
  const path = spoolPath(dir, batchId);
  try {
    const file = await open(path, 'w', 0o600);
    try {
      const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
      const { bytesWritten } = pieces.length > 0 ? await file.writev(pieces) : { bytesWritten: 0 };
      // On a disk that fills up meanwhile, fewer bytes are written, and nothing is said.
      if (bytesWritten !== length) throw Object.assign(new Error('ENOSPC: short write'), { code: DISK_FULL });
    } finally {
      await file.close();
    }
  } catch (error) {
    await rm(path, { force: true });
    throw storeFailure(error);
  }
  return path;
}
