import { isoTime, parseMonth } from '../period.ts';
import { formatBytes, formatCount, plural, printable } from '../render/text.ts';
import { isOver, pacing } from './evaluate.ts';
import type { Firing } from './firings.ts';

/** What one message says: the firings of an evaluation that go to one place. */
export interface Digest {
  /** The same for every attempt to send it, so that a receiver can tell a repetition. */
  id: string;
  firings: readonly Firing[];
  /** Set in what `alerts test` sends. */
  test: boolean;
}

/** Firings that a message spells out; of more, the number is given. */
const MOST_LINES = 40;

/** One line for an e-mail's subject: the firing that matters most. */
export function subject({ firings, test }: Digest): string {
  const most = [...firings].sort((a, b) => weight(b) - weight(a))[0];
  const more = firings.length > 1 ? ` and ${firings.length - 1} more` : '';
  return `${test ? '[test] ' : ''}infrasage: ${most ? headline(most) : ''}${more}`;
}

function weight({ kind, usage }: Firing): number {
  return kind === 'silent' ? Number.POSITIVE_INFINITY : (usage?.percent ?? 0);
}

/** What has fired, in a few words: `acme-corp has reached 80 % of its quota of 2026-11`; of a silence, how long it was then. */
export function headline({ tenantId, usage, silence, kind, firedAt }: Firing): string {
  const who = printable(tenantId);
  if (usage) {
    const late = isOver(usage.month, firedAt) ? ', a month that is over (late events)' : '';
    return `${who} has reached ${usage.percent} % of its ${usage.dimension === 'bytes' ? 'byte ' : ''}quota of ${usage.month}${late}`;
  }
  const service = silence?.serviceId ? `the service ${printable(silence.serviceId)} of ` : '';
  return kind === 'recovered'
    ? `${service}${who} is sending again`
    : `${service}${who} has sent nothing for ${silence ? soFar(silence.lastEventAt, firedAt) : ''}`;
}

/**
 * What a person needs to act on it: usage, quota, percent, days left, the day
 * it is used up; of a silence, its last event. As of the time it fired, so that
 * every attempt to send it says the same.
 */
export function details({ usage, silence, kind, firedAt }: Firing): string {
  if (silence) {
    const last = isoTime(silence.lastEventAt);
    return kind === 'recovered'
      ? `latest event ${last}`
      : `last event ${last}; alert after ${span(silence.seconds)} without events`;
  }
  if (!usage) return '';
  const month = parseMonth(usage.month, firedAt);
  const { percent, daysLeft, fullAt } = pacing({ ...usage, month, now: firedAt });
  const amounts =
    usage.dimension === 'bytes'
      ? `${formatBytes(usage.used)} of ${formatBytes(usage.quota)} stored`
      : `${formatCount(usage.used)} of ${plural(usage.quota, 'event')}`;
  const share = `${amounts} used (${percent} %)`;
  if (isOver(usage.month, firedAt)) return `${share}; the month is over`;
  return `${share}; ${plural(daysLeft, 'day')} left in the month; ${projection(usage, fullAt)}`;
}

function projection({ used, quota }: { used: bigint; quota: bigint }, fullAt: Date | null): string {
  if (used >= quota) return 'the quota is used up';
  return fullAt
    ? `at this pace 100 % on ${isoTime(fullAt).slice(0, 10)}`
    : 'at this pace it will last for the month';
}

/** A firing with its figures as of the time it fired, as numbers; for webhooks and the history. */
export function firingJson(firing: Firing) {
  const { usage, silence, firedAt } = firing;
  const of = {
    id: firing.id,
    kind: firing.kind,
    alert_id: firing.alertId,
    tenant_id: firing.tenantId,
    fired_at: isoTime(firedAt),
  };
  if (silence) {
    return {
      ...of,
      service_id: silence.serviceId || null,
      silent_seconds: silence.seconds,
      last_event_at: isoTime(silence.lastEventAt),
    };
  }
  if (!usage) return of;
  const { percent, daysLeft, fullAt } = pacing({
    ...usage,
    month: parseMonth(usage.month, firedAt),
    now: firedAt,
  });
  return {
    ...of,
    month: usage.month,
    late: isOver(usage.month, firedAt),
    dimension: usage.dimension,
    threshold_percent: usage.percent,
    used: usage.used,
    quota: usage.quota,
    used_percent: percent,
    days_left: daysLeft,
    full_at: fullAt && isoTime(fullAt),
  };
}

const TEST = {
  head: 'This is a test',
  details: 'sent by infrasage alerts test: nothing has fired, and the figures are made up',
};

/** The lines of a message; of a test, that it is one comes first. Those beyond MOST_LINES are counted. */
export function lines({ firings, test }: Digest): { head: string; details: string }[] {
  const shown = firings.slice(0, MOST_LINES);
  const rest = firings.length - shown.length;
  return [
    ...(test ? [TEST] : []),
    ...shown.map((firing) => ({ head: headline(firing), details: details(firing) })),
    ...(rest > 0
      ? [{ head: `and ${formatCount(rest)} more`, details: 'infrasage alerts history shows them all' }]
      : []),
  ];
}

/** How much time has passed, in its two largest units, from a minute on without seconds: `52m`, `3h 2m`. */
function soFar(since: Date, now: Date): string {
  const seconds = Math.floor(Math.max(0, now.getTime() - since.getTime()) / 1000);
  if (seconds < 60) return span(seconds);
  const [unit = 60, below = 60] = [86_400, 3_600, 60].filter((size) => seconds >= size);
  const rest = Math.floor((seconds % unit) / below) * below;
  return `${span(seconds - (seconds % unit))}${rest > 0 ? ` ${span(rest)}` : ''}`;
}

/** A whole number of seconds in the largest unit that fits: `2h`, `90m`. */
export function span(seconds: number): string {
  const units = [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
  ] as const;
  const [unit, size] = units.find(([, length]) => seconds % length === 0) ?? (['s', 1] as const);
  return `${seconds / size}${unit}`;
}
