import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';

/** A process, told apart from a later one with the same number by when it started. */
export const processIdentity = z.object({
  host: z.string(),
  pid: z.number().int().positive(),
  started: z.string(),
  /** Where it spools batches, if processes elsewhere use the same store. */
  spool: z.string().optional(),
});
export type ProcessIdentity = z.infer<typeof processIdentity>;

/** This process. */
export function thisProcess(): ProcessIdentity {
  return { host: hostname(), pid: process.pid, started: startOf(process.pid) ?? '' };
}

/**
 * Whether a process of this host is still running. Another host's is taken for gone: the name of a host
 * changes, and where the process does run, the engine's own lock decides.
 */
export function isAlive(other: ProcessIdentity): boolean {
  if (other.host !== hostname()) return false;
  try {
    process.kill(other.pid, 0);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false;
  }
  const started = startOf(other.pid);
  return started === undefined || other.started === '' || started === other.started;
}

/** When a process started, in the kernel's clock ticks since boot; undefined where the system does not tell. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command may hold spaces and brackets: fields are counted from its last bracket. starttime is field 22.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
