import { monthOf } from '../period.ts';
import type { Store } from '../store/store.ts';
import { type Alert, listAlerts, type SilenceAlert, type UsageAlert } from './alerts.ts';
import { evaluateUsage } from './evaluate.ts';
import { type Firing, firedUsage, lastSilences, recordFirings } from './firings.ts';
import { lastHeard, monthUsage } from './metered.ts';
import { type Deliveries, type DeliveryDeps, deliverDue } from './outbox.ts';
import { type Quotas, readQuotas } from './quotas.ts';
import { evaluateSilence } from './silence.ts';

/** What an evaluation has found and sent. */
export interface CheckResult extends Deliveries {
  fired: Firing[];
}

/** Months before the current one that are evaluated: late events may still make them fire. */
export const ALL_MONTHS = 12;
export const THIS_MONTH = 0;

/**
 * Evaluates every alert, records what fires, and sends what is to be sent,
 * from earlier evaluations too. However many run at once and wherever they are
 * interrupted, a threshold fires once.
 * @throws InfrasageError (exit 3) where the store fails; never for a message that could not be sent
 */
export async function checkAlerts(
  store: Store,
  deps: DeliveryDeps,
  pastMonths = ALL_MONTHS,
): Promise<CheckResult> {
  const alerts = await listAlerts(store, null);
  const fired =
    alerts.length === 0
      ? []
      : await store.exclusively('alerts', () => evaluate(store, alerts, { now: deps.now(), pastMonths }));
  return { fired, ...(await deliverDue(store, deps)) };
}

/** The moment of an evaluation, and how far back it looks. */
interface Scope {
  now: Date;
  pastMonths: number;
}

async function evaluate(store: Store, alerts: readonly Alert[], scope: Scope): Promise<Firing[]> {
  const { now } = scope;
  const onUsage = alerts.filter((alert): alert is UsageAlert => alert.kind === 'usage');
  const onSilence = alerts.filter((alert): alert is SilenceAlert => alert.kind === 'silence');
  const found = [
    ...(await usageFirings(store, onUsage, scope)),
    ...(await silenceFirings(store, onSilence, now)),
  ];
  return recordFirings(store, found, now);
}

async function usageFirings(store: Store, alerts: readonly UsageAlert[], { now, pastMonths }: Scope) {
  if (alerts.length === 0) return [];
  const quotas = await readQuotas(store);
  const first = firstMonth(quotas, { now, pastMonths });
  if (!first) return [];
  const usage = await monthUsage(store, { since: first.period.start });
  const fired = await firedUsage(store, first.name);
  return evaluateUsage({ quotas, alerts, usage, fired, now });
}

/** The earliest month that has to be looked at: there was no quota before. */
function firstMonth(quotas: Quotas, { now, pastMonths }: Scope) {
  const [earliest] = quotas.history.map(({ at }) => at).sort((a, b) => a.getTime() - b.getTime());
  if (!earliest) return undefined;
  const horizon = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - pastMonths, 1));
  const from = earliest < horizon ? horizon : earliest < now ? earliest : now;
  return monthOf(from);
}

async function silenceFirings(store: Store, alerts: readonly SilenceAlert[], now: Date) {
  if (alerts.length === 0) return [];
  const last = await lastSilences(store);
  const silent = new Set(last.filter(({ kind }) => kind === 'silent').map(({ tenantId }) => tenantId));
  return evaluateSilence({ alerts, heard: await lastHeard(store, { alerts, silent, now }), last, now });
}
