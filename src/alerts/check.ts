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

/** Months before the current one that late events may still make fire. */
export const ALL_MONTHS = 12;
export const THIS_MONTH = 0;

/**
 * Evaluates every alert, records what fires, and sends what is to be sent,
 * from earlier evaluations too. However many run at once and wherever they are
 * interrupted, a threshold fires once.
 * @throws InfrasageError (exit 3) where the store fails; never for a message that could not be sent
 */
export async function checkAlerts(store: Store, deps: DeliveryDeps): Promise<CheckResult> {
  const fired = await evaluateAlerts(store, { now: deps.now(), pastMonths: ALL_MONTHS });
  return { fired, ...(await deliverDue(store, deps)) };
}

/** Evaluates every alert and records what fires; sends nothing. */
export async function evaluateAlerts(store: Store, scope: Scope): Promise<Firing[]> {
  const alerts = await listAlerts(store, null, { removed: true });
  return alerts.length === 0 ? [] : store.exclusively('alerts', () => evaluate(store, alerts, scope));
}

/** The moment of an evaluation, and how far back it looks. */
export interface Scope {
  now: Date;
  /** Months before the current one. */
  pastMonths: number;
}

async function evaluate(store: Store, alerts: readonly Alert[], scope: Scope): Promise<Firing[]> {
  const { now } = scope;
  const onUsage = alerts.filter((alert): alert is UsageAlert => alert.kind === 'usage');
  const onSilence = alerts.filter(
    (alert): alert is SilenceAlert => alert.kind === 'silence' && alert.removedAt === null,
  );
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
  // The month that has just ended is looked at for an hour more: its last events may be on their way.
  const current = new Date(now.getTime() - 3_600_000);
  const horizon = new Date(Date.UTC(current.getUTCFullYear(), current.getUTCMonth() - pastMonths, 1));
  const from = earliest < horizon ? horizon : earliest < now ? earliest : now;
  return monthOf(from);
}

async function silenceFirings(store: Store, alerts: readonly SilenceAlert[], now: Date) {
  if (alerts.length === 0) return [];
  const last = await lastSilences(store);
  const silent = new Set(last.filter(({ kind }) => kind === 'silent').map(({ tenantId }) => tenantId));
  return evaluateSilence({ alerts, heard: await lastHeard(store, { alerts, silent, now }), last, now });
}
