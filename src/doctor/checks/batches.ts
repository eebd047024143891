import { existsSync, readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type LedgerEntry, pendingBatches } from '../../ingest/ledger.ts';
import { plural } from '../../render/text.ts';
import { shellWord } from '../../settings/place.ts';
import { isAlive } from '../../store/process.ts';
import { spoolFolders } from '../../store/server/spool-folder.ts';
import { type Check, dataOf, type Finding, NO_DATA, type Subject } from '../check.ts';

/** A batch of another machine that is not finished by then was left, ms: none takes so long. */
const LEFT_MS = 3_600_000;

/** Batches that were begun and not finished, and lines that were set aside. */
export const batches: Check = {
  name: 'batches',
  async run(subject) {
    const data = await dataOf(subject);
    if (!data) return NO_DATA;
    if (data.kind === 'server' && (await data.server.schema()) === undefined)
      return { skipped: 'there are no tables yet' };
    const pending = await pendingBatches(data.reader);
    const left = pending.filter((entry) => isLeft(entry, subject.now()));
    const here = left.filter(({ owner }) => owner.host === hostname());
    const findings: Finding[] = here.length > 0 ? [leftHere(here)] : [];
    for (const host of new Set(left.map(({ owner }) => owner.host))) {
      if (host === hostname()) continue;
      const there = left.filter(({ owner }) => owner.host === host);
      findings.push({
        code: 'pending_batches',
        message: `${plural(there.length, 'batch', 'batches')} of the host ${host} (${plural(linesOf(there), 'line')}) were begun and not finished`,
        fix: `infrasage recover, on ${host}`,
      });
    }
    const aside = setAside(subject);
    findings.push(
      ...aside.map((path) => ({
        code: 'set_aside',
        message: `lines that were never ingested whole are set aside in ${path}`,
        fix: `infrasage ingest ${shellWord(path)} && rm ${shellWord(path)}, with the options they were sent with`,
      })),
    );
    const underWay = pending.length - left.length;
    return {
      summary: `${plural(left.length, 'batch', 'batches')} left by others, ${underWay} under way`,
      findings,
      details: { pending: left.length, lines: linesOf(left), under_way: underWay, set_aside: aside },
    };
  },
};

function isLeft({ owner, receivedAt }: LedgerEntry, now: Date): boolean {
  if (owner.host === hostname()) return !isAlive(owner);
  return now.getTime() - receivedAt.getTime() > LEFT_MS;
}

function leftHere(entries: readonly LedgerEntry[]): Finding {
  return {
    code: 'pending_batches',
    message: `${plural(entries.length, 'batch', 'batches')} (${plural(linesOf(entries), 'line')}) of interrupted runs wait to be settled`,
    fix: 'infrasage recover',
  };
}

function linesOf(entries: readonly LedgerEntry[]): number {
  return entries.reduce((sum, { lines }) => sum + lines, 0);
}

function setAside({ config: { clickhouse, dataDir, database } }: Subject): string[] {
  const folders = clickhouse ? spoolFolders(clickhouse, database) : ['spool', database];
  const spool = join(dataDir, ...folders);
  if (!existsSync(spool)) return [];
  return readdirSync(spool)
    .filter((name) => name.endsWith('.set-aside'))
    .map((name) => join(spool, name));
}
