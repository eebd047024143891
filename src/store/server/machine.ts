import { readFileSync, readlinkSync } from 'node:fs';

/**
 * What process numbers are unique in, as long as it runs: this boot of this machine, or the container on it.
 * Empty where the system does not tell; then nobody is known to be on the same one.
 */
export function machine(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return '';
  }
}
