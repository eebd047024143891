import type { Command } from 'commander';
import { listAlerts, type UsageAlert } from '../alerts/alerts.ts';
import { alertHistory, type Past, pastJson, shownTarget } from '../alerts/history.ts';
import { details, headline } from '../alerts/message.ts';
import { readQuotas } from '../alerts/quotas.ts';
import { type Crossing, simulate } from '../alerts/simulate.ts';
import { usageError } from '../errors.ts';
import { isoTime, monthOf, parseMoment } from '../period.ts';
import type { Report, Row } from '../render/report.ts';
import { plural } from '../render/text.ts';
import { parseLimit, parsePercent } from './amounts.ts';
import type { Act } from './command.ts';

/** `alerts history` and `alerts simulate`. */
export function configure(command: Command, act: Act): void {
  const history = command
    .command('history')
    .description('What has fired, latest first, and every attempt to deliver it.')
    .option('--since <time>', 'from this time on', '90d')
    .option('--limit <rows>', 'this many firings', '50');
  act<{ since: string; limit: string }>(history, async (context, { since, limit }) => {
    const past = await alertHistory(await context.store(), {
      since: parseMoment(since, '--since', context.now),
      tenantId: context.config.tenant ?? null,
      limit: parseLimit(limit),
    });
    return context.print(historyReport(past));
  });
  const simulation = command
    .command('simulate [percents...]')
    .description(
      "Replay the metered months: which of the stored thresholds, or of these percents, would have fired when, under today's quotas.",
    )
    .option('--months <count>', 'this many months, the current one included', '12');
  act<{ months: string }, [string[]]>(simulation, async (context, { months }, percents) => {
    const store = await context.store();
    const quotas = await readQuotas(store);
    const from = monthsAgo(months, context.now);
    const stored = (await listAlerts(store, null)).filter(
      (alert): alert is UsageAlert => alert.kind === 'usage',
    );
    const alerts =
      percents.length === 0
        ? stored
        : percents.map((percent) => ({ tenantId: '', percent: parsePercent(percent) }));
    const tenantId = context.config.tenant ?? null;
    const crossings = await simulate(store, { quotas, alerts, from, tenantId });
    const missing = [
      ...(alerts.length === 0 ? ['No threshold is stored: infrasage alerts simulate 50 80 95'] : []),
      ...(quotas.all.length === 0 ? ['No quota is set: infrasage quota set 100M'] : []),
    ];
    return context.print(simulationReport(crossings, { from: from.name, missing }));
  });
}

function monthsAgo(text: string, now: Date) {
  const months = Number(text);
  if (!Number.isInteger(months) || months < 1 || months > 120)
    throw usageError(`--months ${text} is not a number of months from 1 to 120`);
  return monthOf(new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - months + 1, 1)));
}

function historyReport(past: readonly Past[]): Report {
  const rows = past.flatMap(({ firing, messages }): Row[] => {
    const fired = {
      fired_at: isoTime(firing.firedAt).replace(/\.\d+/, ''),
      alert: `${firing.kind === 'test' ? '[test] ' : ''}${headline(firing)}: ${details(firing)}`,
    };
    return messages.length === 0
      ? [{ ...fired, delivery: null }]
      : messages.map((message) => ({ ...fired, delivery: delivery(message) }));
  });
  return {
    data: { alerts: past.map(pastJson) },
    rows,
    columns: [
      { key: 'fired_at', title: 'Fired at', kind: 'text', whole: true },
      { key: 'alert', title: 'Alert', kind: 'text' },
      { key: 'delivery', title: 'Delivery', kind: 'text' },
    ],
    wrap: true,
    ...(past.length === 0 ? { notes: ['No alert has fired in this time.'] } : {}),
  };
}

/** `email ops@acme.example: 1 failed (…), 2 delivered (250 ok)` */
function delivery({ channel, target, attempts }: Past['messages'][number]): string {
  const to = `${channel} ${shownTarget(channel, target)}`.trim();
  const tried = attempts.map(
    ({ attempt, outcome, detail }) => `${attempt} ${outcome}${detail ? ` (${detail})` : ''}`,
  );
  return `${to}: ${tried.join(', ') || 'not tried yet'}`;
}

function simulationReport(
  crossings: readonly Crossing[],
  { from, missing }: { from: string; missing: readonly string[] },
): Report {
  const rows = crossings.map(({ tenantId, month, dimension, percent, hour, used, quota }) => ({
    ...{ month, tenant_id: tenantId, threshold_percent: percent, dimension },
    ...{ reached_at: isoTime(hour), used, quota },
  }));
  return {
    data: { from, would_have_fired: rows },
    rows,
    columns: [
      { key: 'month', title: 'Month', kind: 'text', whole: true },
      { key: 'tenant_id', title: 'Tenant', kind: 'text' },
      { key: 'threshold_percent', title: 'At %', kind: 'number' },
      { key: 'dimension', title: 'Of', kind: 'text' },
      { key: 'reached_at', title: 'Reached in the hour', kind: 'text', whole: true },
      { key: 'used', title: 'Used', kind: 'count' },
      { key: 'quota', title: 'Quota', kind: 'count' },
    ],
    title: `Since ${from}, alerts would have fired`,
    notes: [...missing, ...(missing.length === 0 ? [`${plural(rows.length, 'time')} in all.`] : [])],
  };
}
