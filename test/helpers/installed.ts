import { execFileSync } from 'node:child_process';

/** Whether this machine has a program. */
export function installed(name: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${name}`]);
    return true;
  } catch {
    return false;
  }
}
