import { createHash, randomBytes } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { isAlive, thisProcess } from '../store/process.ts';
import { machine } from '../store/server/machine.ts';

/** Of what is written beside its place: for which place, where, and by whom. */
const NAME = /^\.infrasage-([0-9a-f]{16})-(\d+)-(\d*)-[0-9a-f]{12}\.new$/;

/** A name beside a place for what is being written to it; it says which process does. */
export function nameBeside(place: string): string {
  const { pid, started } = thisProcess();
  return join(
    dirname(place),
    `.infrasage-${marked(place)}-${pid}-${started}-${randomBytes(6).toString('hex')}.new`,
  );
}

/**
 * Removes what processes that were killed have left of files for a place. Only of those of this machine, since it was
 * started, is it known that they are gone; and of a container, of its own. A failure is nobody's: it is of no use any more.
 */
export async function removeLeftBehind(place: string): Promise<void> {
  if (machine() === '') return;
  const folder = dirname(place);
  for (const name of await readdir(folder).catch(() => [])) {
    const [, mark, pid, started = ''] = NAME.exec(name) ?? [];
    if (mark !== marked(place) || isAlive({ host: hostname(), pid: Number(pid), started })) continue;
    await rm(join(folder, name), { force: true }).catch(() => {});
  }
}

function marked(place: string): string {
  return createHash('sha256')
    .update(`${machine()}\0${basename(place)}`)
    .digest('hex')
    .slice(0, 16);
}
