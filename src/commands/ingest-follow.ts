import { watchAlerts } from '../alerts/watch.ts';
import type { Context } from '../context.ts';
import { type FollowDeps, follow, followable } from '../ingest/follow/follow.ts';
import type { IngestOptions } from '../ingest/options.ts';
import { stdinSource } from '../ingest/source.ts';
import type { IngestSummary } from '../ingest/summary.ts';
import { prepareDirectory } from '../store/directory.ts';
import { firedLines, waitingLines } from './alerts-check.ts';
import { type ingestProgress, startProgress } from './progress.ts';

/**
 * `ingest --follow`: until it is interrupted, or its streams have ended. The data directory is shared meanwhile, and
 * the alerts are evaluated.
 * @param names files, and - for standard input
 * @throws InfrasageError (exit 3)
 */
export async function followInputs(
  context: Context,
  names: readonly string[],
  options: IngestOptions,
  { alerts, stop, onProgress }: { alerts: boolean } & Pick<FollowDeps, 'stop' | 'onProgress'>,
): Promise<IngestSummary> {
  const { io, config } = context;
  const inputs = names.map((name) => (name === '-' ? stdinSource(io.stdin) : followable(name)));
  const store = await context.storeToKeepWriting();
  const folder = prepareDirectory(config.dataDir, 'follow');
  const say = (text: string) => void context.say(text).catch(() => {});
  const ended = new AbortController();
  const watching = alerts
    ? watchAlerts(store, await context.alertDeps(), {
        stop: ended.signal,
        onFired: (fired) => firedLines({ fired }).forEach(say),
        onSent: (sent) => waitingLines(sent).forEach(say),
        onError: (error) =>
          store.lost?.aborted ||
          say(`the alerts could not be evaluated (${wordsOf(error)}); it is tried again`),
      })
    : undefined;
  say(`following ${names.map((name) => (name === '-' ? 'standard input' : name)).join(', ')}; Ctrl-C stops`);
  try {
    return await follow(inputs, options, {
      store,
      now: io.now,
      stop,
      folder,
      say,
      ...(onProgress && { onProgress }),
    });
  } finally {
    ended.abort();
    await watching;
  }
}

/** A line of how it comes on, on a terminal alone: elsewhere, it would fill a log for days. */
export function followProgress(context: Context): ReturnType<typeof ingestProgress> {
  if (!context.io.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const progress = startProgress(context, 'following', { live: true });
  return {
    update: ({ lines, accepted, rejected, skipped }, bytes) =>
      progress.update({ lines, accepted, rejected, skipped, bytes }),
    stop: progress.stop,
  };
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
