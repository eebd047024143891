import { createHash } from 'node:crypto';
import { applying, type SilenceAlert } from './alerts.ts';

/** When a tenant, or a service of it, was last heard. */
export interface LastHeard {
  tenantId: string;
  /** '' for the tenant as a whole. */
  serviceId: string;
  /** Time of its latest event; of one stamped ahead of the clock, when it came. */
  at: Date;
}

/** A silence that has begun, or ended. */
export interface SilenceFiring {
  kind: 'silent' | 'recovered';
  /** Made of the alert, whom it is about and the last event. */
  id: string;
  tenantId: string;
  alert: SilenceAlert;
  lastEventAt: Date;
}

/** The last firing about a tenant or service under an alert. */
export interface LastSilence {
  kind: 'silent' | 'recovered';
  alertId: string;
  tenantId: string;
  lastEventAt: Date;
}

/** Who has sent nothing for this long, or twice what its alert says where that is more, is taken for gone, not for silent. */
export const SENDING_MS = 7 * 24 * 3_600_000;

/**
 * The silences that begin or end now. Pure. A tenant or service is silent when
 * its last event is as old as the alert says. It fires once, until something
 * newer than that comes, which is told too.
 */
export function evaluateSilence({
  alerts,
  heard,
  last,
  now,
}: {
  alerts: readonly SilenceAlert[];
  heard: readonly LastHeard[];
  last: readonly LastSilence[];
  now: Date;
}): SilenceFiring[] {
  return heard.flatMap(({ tenantId, serviceId, at }) =>
    applying(alerts, tenantId)
      .filter((alert) => alert.serviceId === serviceId)
      .flatMap((alert): SilenceFiring[] => {
        const before = last.find((entry) => entry.alertId === alert.id && entry.tenantId === tenantId);
        const age = now.getTime() - at.getTime();
        const silent = age >= alert.silentSeconds * 1000;
        const firing = (kind: SilenceFiring['kind']): SilenceFiring => ({
          ...{ kind, id: idOf(kind, alert.id, tenantId, at), tenantId, alert, lastEventAt: at },
        });
        if (before?.kind === 'silent') return !silent && at > before.lastEventAt ? [firing('recovered')] : [];
        return silent && age < sendingMs(alert) ? [firing('silent')] : [];
      }),
  );
}

/** How long after its last event a tenant or service counts as one that was sending. */
export function sendingMs(alert: SilenceAlert): number {
  return Math.max(SENDING_MS, 2 * alert.silentSeconds * 1000);
}

function idOf(kind: string, alertId: string, tenantId: string, at: Date): string {
  return createHash('sha256')
    .update(JSON.stringify([kind, alertId, tenantId, at.toISOString()]))
    .digest('hex')
    .slice(0, 16);
}
