import { Writable } from 'node:stream';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type Progress, progressWords, startProgress } from '../src/commands/progress.ts';
import { withStore } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { onTerminal } from './helpers/terminal.ts';

const SEPARATOR = ' · ';
const KNOWN = {
  elapsedMs: 12_000,
  lines: 1_200_000n,
  accepted: 1_190_000n,
  rejected: 10_000n,
  skipped: 0n,
  bytes: 292_800_000,
  part: 0.4567,
  leftMs: 14_300,
  perSecond: 99_166.7,
  bytesPerSecond: 24_400_000,
};

describe('the line', () => {
  test('says how far it is, how fast, and what became of the lines', () => {
    expect(progressWords('ingesting', KNOWN, { width: 200, separator: SEPARATOR })).toBe(
      'ingesting · 45 % · 14 s left · 1,200,000 lines · 99,167 events/s · 23.27 MiB/s · 10,000 rejected · 1,190,000 accepted',
    );
  });

  test('is one line in any width: the last parts give way', () => {
    expect(progressWords('ingesting', KNOWN, { width: 77, separator: SEPARATOR })).toBe(
      'ingesting · 45 % · 14 s left · 1,200,000 lines · 99,167 events/s',
    );
    expect(progressWords('ingesting', KNOWN, { width: 20, separator: SEPARATOR })).toBe('ingesting · 45 %');
  });

  test('where the whole is not known, says what was read and for how long', () => {
    const { part: _, leftMs: __, ...unknown } = KNOWN;
    expect(progressWords('ingesting', unknown, { width: 200, separator: ' | ' })).toMatch(
      /^ingesting \| 1,200,000 lines .* \| 279\.24 MiB \| 12 s$/,
    );
  });
});

describe('where there is no terminal', () => {
  afterEach(() => void vi.useRealTimers());

  function started(options: { quiet?: boolean; live?: boolean } = {}): {
    progress: Progress;
    said: () => string;
  } {
    vi.useFakeTimers();
    let text = '';
    const stderr = new Writable({
      write(chunk, _, done) {
        text += String(chunk);
        done();
      },
    });
    const context = {
      config: { quiet: options.quiet ?? false, unicode: true, color: false },
      io: { stderr, env: {} },
    };
    const progress = startProgress(context as unknown as Parameters<typeof startProgress>[0], 'ingesting', {
      clock: () => Date.now(),
      live: options.live ?? false,
    });
    return { progress, said: () => text };
  }

  test('a plain line every few seconds, with rates of the last seconds and the time left', () => {
    const { progress, said } = started();
    for (let second = 1; second <= 11; second += 1) {
      vi.advanceTimersByTime(1000);
      const done = BigInt(second * 1000);
      progress.update({
        lines: done,
        accepted: done,
        rejected: 0n,
        bytes: second * 1024 ** 2,
        part: second / 20,
      });
    }
    progress.stop();
    vi.advanceTimersByTime(60_000);
    expect(said().split('\n')).toEqual([
      'ingesting · 20 % · 15 s left · 4,000 lines · 1,000 events/s · 1.00 MiB/s · 0 rejected · 4,000 accepted',
      'ingesting · 45 % · 10 s left · 9,000 lines · 1,000 events/s · 1.00 MiB/s · 0 rejected · 9,000 accepted',
      '',
    ]);
  });

  test('of input that comes when it comes, the rates are those of the last ten seconds', () => {
    const { progress, said } = started({ live: true });
    vi.advanceTimersByTime(3_600_000);
    progress.update({ accepted: 5000n });
    vi.advanceTimersByTime(5_000);
    progress.update({ accepted: 6000n });
    vi.advanceTimersByTime(7_000);
    progress.update({ accepted: 6000n });
    vi.advanceTimersByTime(60_000);
    progress.stop();
    const rates = said().match(/[\d,]+ events\/s/g);
    expect(rates).toEqual(['500 events/s', '100 events/s', '0 events/s']);
  });

  test('nothing of what is done at once, nothing while nothing is new, and nothing with --quiet', () => {
    for (const options of [{}, { quiet: true }]) {
      const { progress, said } = started(options);
      vi.advanceTimersByTime(60_000);
      progress.update({ lines: 1n });
      if (options.quiet) vi.advanceTimersByTime(60_000);
      progress.stop();
      vi.advanceTimersByTime(60_000);
      expect(said()).toBe('');
    }
  });
});

test('on a terminal: one line that is gone when the summary is printed; the rest is in the summary', () =>
  withStore(async (box) => {
    const bad = [event({ value: 'much' }), event({ value: 'more' }), '{'];
    const path = box.file('events.ndjson', lines(...Array.from({ length: 20 }, () => event()), ...bad));
    const ingest = onTerminal(box, ['ingest', path], { columns: 100 });
    expect(await ingest.ended).toEqual({ status: 0, restored: true });
    expect(ingest.written()).toContain('ingesting');
    const shown = ingest.lines().join('\n').trim();
    expect(shown).not.toContain('ingesting');
    expect(shown).toMatch(/^Rejected because/);
    expect(shown).toMatch(/see the rejected lines: infrasage dlq list\n/);
    expect(shown).toMatch(/only the most frequent: infrasage dlq list --error invalid_value/);
    const verify = onTerminal(box, ['verify']);
    expect(await verify.ended).toEqual({ status: 0, restored: true });
    expect(verify.written()).toContain('comparing');
    expect(verify.lines().join('\n')).not.toContain('comparing');
  }));

describe('on a terminal', () => {
  test('that does not know its size, work under way is said as on one of 80 columns', () =>
    withStore(async (box) => {
      const verify = onTerminal(box, ['verify'], { columns: 0, rows: 0 });
      expect(await verify.ended).toEqual({ status: 0, restored: true });
      expect(verify.written()).toContain('comparing');
    }));

  test('notes and errors are broken between words', () =>
    withStore(async (box) => {
      const size = { columns: 60, env: { NO_COLOR: '1' } };
      const note = onTerminal(box, ['alerts', 'add', '80', '--tenant', 'acme-corp'], size);
      expect((await note.ended).status).toBe(0);
      await note.shows(/^100M --tenant acme-corp *$/m);
      expect(note.written()).not.toMatch(/[^\r\n]{61}/);
      const error = onTerminal(box, ['usage', '--since', 'yesterday'], size);
      expect((await error.ended).status).toBe(2);
      expect(error.written()).toContain('is not a time');
      expect(error.written()).not.toMatch(/[^\r\n]{61}/);
    }));
});
