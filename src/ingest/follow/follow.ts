import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { InfrasageError } from '../../errors.ts';
import { plural } from '../../render/text.ts';
import { ingest } from '../ingest.ts';
import type { IngestDeps, IngestOptions } from '../options.ts';
import { rootKey } from '../root-key.ts';
import { slotsOf } from '../run.ts';
import { fileSource, type Source, startsCompressed } from '../source.ts';
import { type IngestSummary, together } from '../summary.ts';
import { FollowedFile } from './followed-file.ts';
import { Positions } from './positions.ts';
import { Roots } from './roots.ts';
import { Ticker } from './ticker.ts';

/** How often a file is looked at, ms. */
export const LOOK_MS = 200;
/** Input that is held for all files together, bytes: each has a buffer of its own. */
const MOST_BYTES = 64_000_000;

export interface FollowDeps extends Omit<IngestDeps, 'onBatch' | 'onUnsettled' | 'onFailure' | 'slots'> {
  stop: AbortSignal;
  /** Folder where it is written down how far each file was read. */
  folder: string;
  /** Told what an operator is to know. */
  say(text: string): void;
}

/**
 * Ingests files as they grow, under whatever their names stand for one after
 * the other, and streams such as standard input, all at the same time, until it
 * is stopped, or until the streams have ended where there are no files. What was
 * read is committed when it returns; a last line of a file that has no ending
 * yet is left for the next time.
 * @param inputs paths of files, which need not be there yet, and streams
 * @throws InfrasageError (exit 3) that says what was kept, where it could not go on
 */
export async function follow(
  inputs: readonly (string | Source)[],
  options: IngestOptions,
  { stop, folder, say, ...deps }: FollowDeps,
): Promise<IngestSummary> {
  const paths = new Map(
    inputs.filter((input) => typeof input === 'string').map((path) => [resolve(path), path]),
  );
  const streams = inputs.filter((input) => typeof input !== 'string');
  const halt = new AbortController();
  const ending = AbortSignal.any([stop, halt.signal]);
  let failure: { error: unknown } | undefined;
  const fail = (error: unknown) => {
    failure ??= { error };
    halt.abort();
  };
  // Nothing else would tell, as long as no line comes.
  const { lost } = deps.store;
  const onLost = () => fail(lost?.reason);
  lost?.addEventListener('abort', onLost);
  if (lost?.aborted) onLost();
  const batchBytes = Math.max(Math.floor(MOST_BYTES / inputs.length), options.maxLine + 2);
  const run = new Runs(
    { ...options, batchBytes: Math.min(options.batchBytes, batchBytes) },
    { ...deps, stop: ending, onFailure: fail },
  );
  const ticker = new Ticker(LOOK_MS, ending);
  const { allowDuplicates, batchBytes: _, flushMs: __, dryRun: ___, ...decisive } = options;
  const identity = JSON.stringify([deps.store.spoolDir, allowDuplicates, decisive]);
  const roots = new Roots(deps.store, rootKey({ ...options, allowDuplicates: false }));
  const files = [...paths].map(async ([resolved, path]) => {
    const positions = await Positions.of(resolved, { folder, identity, apart: allowDuplicates });
    const of = {
      store: deps.store,
      roots,
      ticker,
      stop: ending,
      ingest: (source: Source) => run.ingest(source),
      say,
      fail,
    };
    return new FollowedFile(path, positions, of);
  });
  const following = Promise.all(files).then(async (all) => {
    // First what was followed before: what is new is compared with it.
    await Promise.all(all.map((file) => file.resume()));
    await Promise.all(all.map((file) => file.follow()));
  });
  await Promise.all([
    following,
    ...streams.map((source) => run.ingest({ ...source, live: 'silent' }).catch(fail)),
  ]);
  lost?.removeEventListener('abort', onLost);
  const summary = run.summary();
  if (!failure) return summary;
  const { error } = failure;
  if (!(error instanceof InfrasageError)) throw error;
  // What the run of one file has kept is not all that the follower has.
  const { message, hint, exitStatus } = error;
  throw new InfrasageError(message, { kept: kept(summary), hint, exitStatus, cause: error.cause ?? error });
}

function kept({ accepted, rejected }: IngestSummary): string {
  return `${plural(accepted + rejected, 'line is', 'lines are')} ingested and safe, a batch under way may or may not be, and the same command goes on after what is`;
}

/**
 * What a name is to follow(): a path where it is, or will be, a regular file; else what can be read of it.
 * @throws InfrasageError (exit 3): a directory, no permission, a compressed file
 */
export function followable(path: string): string | Source {
  if (!existsSync(path)) return path;
  const source = fileSource(path);
  if (source.once) return source;
  if (!startsCompressed(path)) return path;
  throw new InfrasageError(`${path} is compressed, and nothing is added to such a file`, {
    hint: 'ingest it without --follow',
  });
}

/** Runs of ingest beside each other, counted together. */
class Runs {
  readonly #options: IngestOptions;
  readonly #deps: IngestDeps;
  readonly #started = performance.now();
  readonly #live = new Map<object, { summary: IngestSummary; bytesRead: number }>();
  #ended = together([]);
  #bytesRead = 0;

  constructor(options: IngestOptions, deps: IngestDeps) {
    this.#options = options;
    this.#deps = { ...deps, slots: slotsOf(deps.store) };
  }

  async ingest(source: Source): Promise<void> {
    const id = {};
    const onProgress = (summary: IngestSummary, bytesRead: number) => {
      this.#live.set(id, { summary, bytesRead });
      const all = [...this.#live.values()].reduce((sum, one) => sum + one.bytesRead, this.#bytesRead);
      this.#deps.onProgress?.(this.summary(), all);
    };
    try {
      await ingest([source], this.#options, { ...this.#deps, onProgress });
    } finally {
      const last = this.#live.get(id);
      this.#live.delete(id);
      if (last) {
        this.#ended = together([this.#ended, last.summary]);
        this.#bytesRead += last.bytesRead;
      }
    }
  }

  summary(): IngestSummary {
    const all = together([this.#ended, ...[...this.#live.values()].map(({ summary }) => summary)]);
    return { ...all, elapsed_ms: Math.round(performance.now() - this.#started) };
  }
}
