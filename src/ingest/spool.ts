import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DISK_FULL, storeFailure } from '../store/failure.ts';
import { type Place, placeId } from './claim.ts';

/** A batch as its spool file is named after it. */
export type Spooled = Place & { batchId: string };

/** Where a batch is spooled. The name tells its place, so that who finds the file can tell whether it is claimed. */
export function spoolPath(dir: string, { batchId, ...place }: Spooled): string {
  return join(dir, `${placeId(place)}.${batchId}.ndjson`);
}

/** What the name of a spool file tells; undefined for that of another file. */
export function spooledAs(name: string): { place: string; batchId: string } | undefined {
  const [, place, batchId] = /^([0-9a-f]{32})\.([0-9a-f]{64}#\d+)\.ndjson$/.exec(name) ?? [];
  return place !== undefined && batchId !== undefined ? { place, batchId } : undefined;
}

/**
 * Writes a batch's lines to a file of the spool folder; its place is to be claimed. Handing the engine a
 * file is several times faster than handing it a buffer, and keeps what came
 * from standard input through a crash of this process.
 * @returns the file's path
 * @throws InfrasageError (exit 3) where the disk is full
 */
export async function spool(dir: string, batch: Spooled, pieces: readonly Uint8Array[]): Promise<string> {
  const path = spoolPath(dir, batch);
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
