import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { releaseEngine } from './kept-engine.ts';

/** Whether a test may make a disk: only root, on Linux. */
export const CAN_MOUNT = process.platform === 'linux' && process.getuid?.() === 0;

/** A file system of its own on a folder, which can be filled. */
export class SmallDisk {
  readonly folder: string;

  /**
   * @param folder is made where it is not there
   * @param size as mount takes it, such as 24m
   */
  constructor(folder: string, size: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    releaseEngine();
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', folder]);
  }

  /** Takes this many bytes, until free(). */
  take(bytes: number): void {
    writeFileSync(join(this.folder, 'ballast'), Buffer.alloc(bytes));
  }

  /** Gives back what was taken, and makes the disk larger. */
  free(size: string): void {
    rmSync(join(this.folder, 'ballast'), { force: true });
    execFileSync('mount', ['-o', `remount,size=${size}`, this.folder]);
  }

  remove(): void {
    releaseEngine();
    execFileSync('umount', [this.folder]);
  }
}
