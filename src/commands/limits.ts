import { applying, type UsageAlert } from '../alerts/alerts.ts';
import { usedPercent } from '../alerts/quotas.ts';
import type { LimitStatus } from '../alerts/status.ts';
import { formatBytes, formatCount, plural } from '../render/text.ts';
import { shellWord } from '../settings/place.ts';

/** Limits that are written out; of more, the number is given. */
const MOST_LINES = 10;

/** How tenants stand against their quotas and thresholds, a line each; of thresholds without a quota, that they cannot fire. */
export function alertLines({
  tenantId,
  limits,
  thresholds,
}: {
  /** null: all tenants. */
  tenantId: string | null;
  limits: readonly LimitStatus[];
  thresholds: readonly UsageAlert[];
}): string[] {
  if (limits.length > 0) return limitLines(limits);
  const theirs = tenantId === null ? thresholds : applying(thresholds, tenantId);
  const percents = [...new Set(theirs.map(({ percent }) => `${percent} %`))];
  if (percents.length === 0) return [];
  if (tenantId === null) {
    return [
      `Alerts at ${percents.join(', ')} are stored, and there is no quota that usage is held against: infrasage quota set 100M`,
    ];
  }
  return [
    `${tenantId} has no quota, so the ${percents.length > 1 ? 'alerts' : 'alert'} at ${percents.join(', ')} cannot fire: infrasage quota set 100M --tenant ${shellWord(tenantId)}`,
  ];
}

function limitLines(limits: readonly LimitStatus[]): string[] {
  const shown = limits.slice(0, MOST_LINES);
  const rest = limits.length - shown.length;
  return [
    ...shown.map(line),
    ...(rest > 0 ? [`${plural(rest, 'more quota')}: infrasage billing --month --json shows them all`] : []),
  ];
}

function line({ tenantId, dimension, used, quota, thresholds }: LimitStatus): string {
  const amount = dimension === 'bytes' ? formatBytes : formatCount;
  const limit = dimension === 'bytes' ? `${formatBytes(quota)} stored` : plural(quota, 'event');
  const alerts = thresholds.map(({ percent: at, level, reached }) =>
    reached ? `${at} % (reached)` : `${at} % (${amount(level)})`,
  );
  const listed = alerts.length > 0 ? `; alerts at ${alerts.join(', ')}` : '';
  return `Quota of ${tenantId}: ${amount(used)} of ${limit} used (${usedPercent(used, quota)} %)${listed}`;
}
