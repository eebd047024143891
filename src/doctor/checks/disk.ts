import { formatBytes } from '../../render/text.ts';
import { growth } from '../../reports/growth.ts';
import { localDisk, serverDisks, shards } from '../../reports/storage.ts';
import { type Check, type Data, dataOf, type Finding } from '../check.ts';

/** Less than this is too little for the batches under way, bytes. */
const LEAST_BYTES = 1024n ** 3n;
/** Fewer days than these are a finding. */
const LEAST_DAYS = 14;

/** Free space, and how long it lasts at the pace of the last weeks. */
export const disk: Check = {
  name: 'disk',
  async run(subject) {
    const { dataDir } = subject.config;
    const data = await dataOf(subject);
    const local = localDisk(dataDir);
    const where =
      data && (await hasTables(data)) ? await shards(data.reader, { server: data.kind === 'server' }) : [];
    // On a server, the data directory has the batches under way only.
    const theirs = data?.kind === 'server' ? await serverDisks(data.reader) : [];
    const disks = [...theirs, local];
    const grows =
      data && where.length > 0 ? await growth(data.reader, where, { now: subject.now() }) : undefined;
    const perDay = grows?.bytesPerDay ?? null;
    const days = grows?.daysLeft(local.free) ?? null;
    const findings: Finding[] = disks
      .filter(({ free }) => free < LEAST_BYTES)
      .map(({ name, free }) => ({
        code: 'disk_nearly_full',
        message: `${formatBytes(free)} are free on the disk of ${name}`,
        fix: 'make space there, or keep less: infrasage init --raw-retention 90d',
      }));
    if (days !== null && days < LEAST_DAYS) {
      findings.push({
        code: 'disk_full_soon',
        message: `at the pace of the last weeks the disk is full in ${days} days`,
        fix: 'infrasage init --raw-retention 90d, or a larger disk',
      });
    }
    const left =
      days === null ? '' : days > 3650 ? ', enough for more than ten years' : `, enough for ${days} days`;
    return {
      summary: `${disks.map(({ name, free }) => `${formatBytes(free)} free in ${name}`).join('; ')}${left}`,
      findings,
      details: {
        disks,
        database_bytes: grows?.bytes ?? null,
        events_per_day: grows ? Math.round(grows.eventsPerDay) : null,
        bytes_per_day: perDay === null ? null : Math.round(perDay),
        days_left: days,
      },
    };
  },
};

async function hasTables(data: Data): Promise<boolean> {
  return data.kind === 'embedded' || (await data.server.schema()) !== undefined;
}
