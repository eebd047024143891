import type { Store } from '../store/store.ts';
import type { Alert } from './alerts.ts';
import { levelOf } from './evaluate.ts';
import { type Firing, writeFirings } from './firings.ts';
import { type Deliveries, type DeliveryDeps, deliver, messagesOf } from './outbox.ts';
import { readQuotas } from './quotas.ts';

/** Stands in for the quota of an alert that has none yet. */
const EXAMPLE_QUOTA = 1_000_000n;

/**
 * Sends a message that is marked as a test to every channel of an alert, as if
 * it had just been reached. It is in the history, and is not tried again.
 */
export async function tryOut(
  store: Store,
  alert: Alert,
  { newId, ...deps }: DeliveryDeps & { newId: () => string },
): Promise<Deliveries> {
  const now = deps.now();
  const { events, bytes } = (await readQuotas(store)).of(alert.tenantId);
  const dimension = events === null && bytes !== null ? 'bytes' : 'events';
  const quota = events ?? bytes ?? EXAMPLE_QUOTA;
  const of = {
    ...{ id: newId(), digest: newId(), kind: 'test' as const, alertId: alert.id, firedAt: now },
    ...{ tenantId: alert.tenantId || 'any tenant' },
    ...{ email: alert.email, slack: alert.slack, webhook: alert.webhook },
  };
  const level = alert.kind === 'usage' ? levelOf(quota, alert.percent) : 0n;
  const firing: Firing =
    alert.kind === 'usage'
      ? {
          ...of,
          usage: {
            ...{ percent: alert.percent, month: now.toISOString().slice(0, 7), dimension },
            ...{ level, used: level, quota },
          },
          silence: null,
        }
      : {
          ...of,
          usage: null,
          silence: {
            serviceId: alert.serviceId,
            seconds: alert.silentSeconds,
            lastEventAt: new Date(now.getTime() - alert.silentSeconds * 1000),
          },
        };
  await writeFirings(store, [firing]);
  return deliver(store, messagesOf([firing]), deps);
}
