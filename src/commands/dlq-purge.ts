import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { type PurgedCause, planPurge, purgeLetters } from '../dead-letters/purge.ts';
import { EXIT, usageError } from '../errors.ts';
import { isoTime, parseMoment } from '../period.ts';
import type { Report } from '../render/report.ts';
import { formatCount, plural } from '../render/text.ts';
import { type Act, examples } from './command.ts';
import { confirmed } from './confirm.ts';
import { causeFilter, causeOptions, type FilterOptions } from './dlq-filter.ts';

/** `dlq purge`. */
export function configure(command: Command, act: Act): void {
  const purge = causeOptions(command.command('purge'))
    .description('Remove dead letters for good, replayed or not; how many of which cause is kept.')
    .requiredOption('--older-than <time>', 'those received before: a span, a date, or RFC 3339')
    .option('--dry-run', 'only say what it would remove')
    .option('--force', 'do not ask; needed where there is no terminal');
  examples(purge, [
    'infrasage dlq purge --older-than 90d',
    'infrasage dlq purge --older-than 2026-01-01 --error invalid_json --force',
  ]);
  act<Pick<FilterOptions, 'error' | 'source'> & { olderThan: string; dryRun?: boolean; force?: boolean }>(
    purge,
    async (context, { olderThan, dryRun = false, force = false, ...options }) => {
      const before = parseMoment(olderThan, '--older-than', context.now);
      // A month is meant by 1m as often as a minute.
      if (/^\d+m$/.test(olderThan) && context.now.getTime() - before.getTime() < 3_600_000) {
        throw usageError(
          `--older-than ${olderThan} is minutes`,
          'write 30d for a month, and 60m for an hour',
        );
      }
      const wanted = { ...causeFilter(context, options), before };
      const store = dryRun ? await context.store() : await context.storeToChange();
      const planned = await planPurge(store, wanted);
      if (dryRun || planned.length === 0) return context.print(purgeReport(planned, { before, dryRun }));
      if (
        !force &&
        !(await confirmed(context, `Remove ${words(planned)} received before ${isoTime(before)}`))
      ) {
        await context.say('nothing was removed');
        return EXIT.ok;
      }
      const removed = await purgeLetters(store, wanted, { purgeId: randomUUID(), now: context.io.now });
      return context.print(purgeReport(removed, { before, dryRun }));
    },
  );
}

function words(causes: readonly PurgedCause[]): string {
  const { letters, replayed } = sums(causes);
  const open = letters - replayed;
  return `${plural(letters, 'dead letter')}${open > 0n ? `, ${formatCount(open)} of them not replayed,` : ''}`;
}

function sums(causes: readonly PurgedCause[]) {
  return {
    letters: causes.reduce((sum, cause) => sum + cause.letters, 0n),
    replayed: causes.reduce((sum, cause) => sum + cause.replayed, 0n),
  };
}

function purgeReport(
  causes: readonly PurgedCause[],
  { before, dryRun }: { before: Date; dryRun: boolean },
): Report {
  const { letters, replayed } = sums(causes);
  const rows = causes.map((cause) => ({ ...cause }));
  return {
    data: { dry_run: dryRun, received_before: isoTime(before), letters, replayed, causes: rows },
    rows,
    columns: [
      { key: 'error', title: 'Error', kind: 'text', whole: true },
      { key: 'letters', title: 'Letters', kind: 'count' },
      { key: 'replayed', title: 'Replayed', kind: 'count' },
    ],
    notes: [
      letters === 0n
        ? `No dead letters received before ${isoTime(before)}.`
        : dryRun
          ? `Would remove ${words(causes)} received before ${isoTime(before)}. Nothing was changed (dry run).`
          : `Removed ${words(causes)} received before ${isoTime(before)}. How many of which cause is kept in infrasage_dlq_purges.`,
    ],
  };
}
