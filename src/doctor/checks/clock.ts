import { z } from 'zod';
import { MOST_APART_MS, SET_CLOCK } from '../../ingest/clock.ts';
import { isoTime } from '../../period.ts';
import { utcTime } from '../../store/store.ts';
import { type Check, type Data, dataOf, NO_DATA, type Seen, type Subject } from '../check.ts';

/** Clocks may be apart by so much, ms. */
export const CLOCK_MS = 60_000;

/** This machine's clock against that of the server, and against the newest batch, which cannot be of the future. */
export const clock: Check = {
  name: 'clock',
  async run(subject) {
    const data = await dataOf(subject);
    if (!data) return NO_DATA;
    return data.kind === 'server' ? againstServer(data, subject) : againstBatches(data, subject);
  },
};

async function againstServer(
  { server }: Data & { kind: 'server' },
  { now }: Pick<Subject, 'now'>,
): Promise<Seen> {
  const theirs = await server.clock();
  const ours = now();
  const behind = theirs.now.getTime() - ours.getTime();
  const details = { clock: isoTime(ours), server_clock: isoTime(theirs.now), behind_ms: behind };
  if (Math.abs(behind) <= CLOCK_MS + theirs.accuracyMs)
    return { summary: `within ${seconds(Math.abs(behind))} of the server's`, details };
  const direction = behind > 0 ? 'behind' : 'ahead of';
  return {
    summary: `${seconds(Math.abs(behind))} ${direction} the server's`,
    findings: [
      {
        code: 'clock_skew',
        message: `this machine's clock is ${seconds(Math.abs(behind))} ${direction} that of the server${refusal(behind)}`,
        fix: SET_CLOCK,
      },
    ],
    details,
  };
}

async function againstBatches({ reader }: Data, { now }: Pick<Subject, 'now'>): Promise<Seen> {
  const [row] = await reader.query(
    'SELECT max(recorded_at) AS newest FROM {{db}}.infrasage_ingest_batches',
    z.object({ newest: utcTime }),
  );
  const ours = now();
  const newest = row?.newest ?? new Date(0);
  const behind = newest.getTime() - ours.getTime();
  const details = {
    clock: isoTime(ours),
    newest_batch: newest.getTime() === 0 ? null : isoTime(newest),
  };
  if (behind <= CLOCK_MS) {
    const words = newest.getTime() === 0 ? 'no batch to compare it with' : 'after the newest batch';
    return { summary: `${isoTime(ours)}: ${words}`, details };
  }
  return {
    summary: `${seconds(behind)} behind the newest batch`,
    findings: [
      {
        code: 'clock_skew',
        message: `this machine's clock says ${isoTime(ours)}, and the newest batch is of ${isoTime(newest)}`,
        fix: SET_CLOCK,
      },
    ],
    details,
  };
}

function refusal(behind: number): string {
  return Math.abs(behind) > MOST_APART_MS ? ': too far apart to ingest, which is refused' : '';
}

function seconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}
