import { closeSync, createReadStream, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { BatchSizes } from '../src/ingest/batch-sizes.ts';
import { fileSource, stdinSource } from '../src/ingest/source.ts';
import { withDataDir } from './helpers/cli.ts';
import { seeded } from './helpers/crash.ts';
import { event, lines } from './helpers/events.ts';

const BATCH = 64_000_000;

/** The batches of a source, and what each of two writers gets that take the next one as soon as they are free. */
function share(length: number, sizes: BatchSizes, lineBytes = 0) {
  const batches: number[] = [];
  const writers = [0, 0];
  for (let position = 0; position < length; ) {
    // Cut at a line's end.
    const size = Math.min(length - position, sizes.next(position) - lineBytes);
    const free = writers[0] !== undefined && writers[0] <= (writers[1] ?? 0) ? 0 : 1;
    writers[free] = (writers[free] ?? 0) + size;
    batches.push(size);
    position += size;
  }
  return { batches, writers };
}

describe('how much of a source goes into each batch', () => {
  it('little at first, where its length is not known', () => {
    const sizes = new BatchSizes(BATCH);
    expect([0, 1, 2, 3].map((position) => sizes.next(position))).toEqual([24e6, 40e6, 64e6, 64e6]);
  });

  it.each([1, 24e6])('all of what is small: %d bytes', (length) => {
    expect(share(length, new BatchSizes(BATCH, length)).batches).toEqual([length]);
  });

  it.each([BATCH, 8e6, 100e3])(
    'as few batches of %d bytes as two writers need who are done at the same time',
    (most) => {
      const random = seeded(7);
      for (let i = 0; i < 2_000; i++) {
        const length = Math.round((0.375 + random() * 15) * most);
        const { batches, writers } = share(
          length,
          new BatchSizes(most, length),
          Math.round((random() * most) / 100_000),
        );
        const [one = 0, other = 0] = writers;
        expect(Math.max(...batches), String(length)).toBeLessThanOrEqual(most);
        expect(batches[0], String(length)).toBeLessThanOrEqual(0.375 * most);
        // What is too little for a batch of its own is not evened out.
        expect(Math.abs(one - other), String(length)).toBeLessThan(0.27 * most);
        expect(batches.length, String(length)).toBeLessThanOrEqual(Math.ceil(length / most) + 3);
      }
    },
  );

  it('goes by the length of a file, but not of a compressed one', () =>
    withDataDir(async (box) => {
      const input = lines(event(), event());
      expect(fileSource(box.file('events.ndjson', input)).length).toBe(input.length);
      writeFileSync(box.file('events.ndjson.gz', ''), gzipSync(input));
      expect(fileSource(join(box.folder, 'events.ndjson.gz')).length).toBeUndefined();
      const file = openSync(join(box.folder, 'events.ndjson'), 'r');
      try {
        expect(stdinSource(createReadStream('', { fd: file, autoClose: false })).length).toBe(input.length);
      } finally {
        closeSync(file);
      }
      expect(stdinSource(Readable.from([])).length).toBeUndefined();
    }));

  it('goes on where the source turns out to be longer, or shorter', () => {
    expect(share(400e6, new BatchSizes(BATCH, 100e6)).batches).toEqual([
      24e6, 50e6, 26e6, 64e6, 64e6, 64e6, 64e6, 44e6,
    ]);
    expect(share(50e6, new BatchSizes(BATCH, 100e6)).batches).toEqual([24e6, 26e6]);
  });
});
