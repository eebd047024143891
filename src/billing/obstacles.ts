import { listAlerts } from '../alerts/alerts.ts';
import { lastSilences } from '../alerts/firings.ts';
import { placeId, tryClaim } from '../ingest/claim.ts';
import { pendingBatches } from '../ingest/ledger.ts';
import { isoTime, type Month } from '../period.ts';
import type { Store } from '../store/store.ts';
import { planRepairs } from '../verify/repair.ts';
import { type Step, verify } from '../verify/verify.ts';

/** Something that a month should not be closed with. */
export interface Obstacle {
  what: string;
  /** The command that mends it, or shows more. */
  mend: string;
}

/**
 * What stands against closing a month: figures that do not agree with the stored rows, batches that were interrupted
 * and not settled, and open silence alerts, with which events may be missing.
 * @param onStep called before each part of the comparison, which reads everything and may take long
 */
export async function obstacles(
  store: Store,
  month: Month,
  onStep: (step: Step) => void,
): Promise<Obstacle[]> {
  return [
    ...(await differences(store, month, onStep)),
    ...(await interrupted(store)),
    ...(await silences(store)),
  ];
}

/** Of the metering, only hours of the month; what differs of batches may be of any month. */
async function differences(store: Store, month: Month, onStep: (step: Step) => void): Promise<Obstacle[]> {
  const { checks } = await verify(store, { onStep });
  const differing = checks.filter((check) => check.differences > 0n);
  if (differing.length === 0) return [];
  const { start, end } = month.period;
  const metering = (await planRepairs(store)).filter(({ hour }) => hour >= start && hour < end).length;
  const others = differing.filter(({ name }) => name !== 'metering').map(({ name }) => name);
  return [
    ...(metering > 0
      ? [
          {
            what: `the metering of ${month.name} differs from the stored events in ${metering} of its figures`,
            mend: 'infrasage verify --repair',
          },
        ]
      : []),
    ...(others.length > 0
      ? [{ what: `stored rows do not agree (${others.join(', ')})`, mend: 'infrasage verify' }]
      : []),
  ];
}

/** Batches that were begun and that nobody is at; one under way is no obstacle: what it brings counts as late. */
async function interrupted(store: Store): Promise<Obstacle[]> {
  let left = 0;
  for (const entry of await pendingBatches(store)) {
    const claim = await tryClaim(store, placeId(entry));
    if (!claim) continue;
    await claim.release();
    left += 1;
  }
  if (left === 0) return [];
  const words = left === 1 ? '1 batch is pending' : `${left} batches are pending`;
  return [{ what: `${words} since a run was interrupted`, mend: 'infrasage recover' }];
}

async function silences(store: Store): Promise<Obstacle[]> {
  const alerts = new Map((await listAlerts(store, null)).map((alert) => [alert.id, alert]));
  const open = (await lastSilences(store)).filter(
    ({ kind, alertId }) => kind === 'silent' && alerts.has(alertId),
  );
  return open.map(({ tenantId, alertId, lastEventAt }) => {
    const alert = alerts.get(alertId);
    const service = alert?.kind === 'silence' && alert.serviceId !== '' ? `, ${alert.serviceId}` : '';
    return {
      what: `${tenantId}${service} has been silent since ${isoTime(lastEventAt)}, and its events may be missing`,
      mend: `infrasage alerts check, when they have come, or infrasage alerts remove ${alertId}`,
    };
  });
}
