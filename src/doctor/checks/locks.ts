import { z } from 'zod';
import { lockFile } from '../../store/lock.ts';
import type { ServerInspection } from '../../store/server/inspect.ts';
import { sessionOwner } from '../../store/server/session.ts';
import { type Check, dataOf, NO_DATA, type Seen } from '../check.ts';

/** Who holds what: the data directory, or the locks of a server. A lock that was left behind is in nobody's way. */
export const locks: Check = {
  name: 'locks',
  async run(subject) {
    const { clickhouse, dataDir } = subject.config;
    if (!clickhouse) return ofDirectory(dataDir);
    const data = await dataOf(subject);
    if (data?.kind !== 'server') return NO_DATA;
    if ((await data.server.schema()) === undefined) return { skipped: 'there are no tables yet' };
    return ofServer(data.server);
  },
};

function ofDirectory(dataDir: string): Seen {
  const found = lockFile(dataDir);
  if (!found) return { summary: 'nobody has the data directory', details: { holder: null } };
  const { holder, isAlive } = found;
  if (!holder) {
    return {
      summary: 'a lock that is damaged; the next command takes it over',
      details: { holder: null, stale: true },
    };
  }
  const { pid, command, shares } = holder;
  const who = `process ${pid} (infrasage ${command})`;
  return {
    summary: isAlive
      ? `${who} has the data directory${shares ? ', and shares it' : ''}`
      : `left by ${who}, which is gone; the next command takes it over`,
    details: { holder: { pid, command, shares }, stale: !isAlive },
  };
}

const owner = z
  .string()
  .transform((text) => (text === '' ? undefined : sessionOwner.parse(JSON.parse(text))));

async function ofServer(server: ServerInspection): Promise<Seen> {
  const found = (await server.locks()).map(({ name, owner: text, expired }) => {
    const process = owner.parse(text);
    return { name, host: process?.host ?? null, pid: process?.pid ?? null, stale: expired };
  });
  const held = found.filter(({ stale }) => !stale);
  const stale = found.length - held.length;
  const words = [
    held.length === 0
      ? 'nobody has one'
      : `held: ${held.map(({ name, host, pid }) => `${name} by process ${pid} on ${host}`).join(', ')}`,
    ...(stale > 0 ? [`${stale} left behind, which who needs them takes over`] : []),
  ];
  return { summary: words.join('; '), details: { locks: found } };
}
