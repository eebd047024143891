import { describe, expect, it } from 'vitest';
import { BatchSizes } from '../src/ingest/batch-sizes.ts';
import { seeded } from './helpers/crash.ts';

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

  it('as few batches as two writers need who are done at the same time', () => {
    const random = seeded(7);
    for (let i = 0; i < 2_000; i++) {
      const length = 24e6 + Math.round(random() * 1e9);
      const { batches, writers } = share(length, new BatchSizes(BATCH, length), Math.round(random() * 500));
      const [one = 0, other = 0] = writers;
      expect({ length, sum: one + other }).toEqual({ length, sum: length });
      expect(Math.max(...batches), String(length)).toBeLessThanOrEqual(BATCH);
      expect(batches[0], String(length)).toBeLessThanOrEqual(24e6);
      // What is too little for a batch of its own is not evened out.
      expect(Math.abs(one - other), String(length)).toBeLessThan(17e6);
      expect(batches.length, String(length)).toBeLessThanOrEqual(Math.ceil(length / BATCH) + 3);
    }
  });

  it('goes on where the source turns out to be longer, or shorter', () => {
    const sizes = new BatchSizes(BATCH, 100e6);
    expect(share(400e6, sizes).batches.every((size) => size > 1e6)).toBe(true);
    expect(share(50e6, new BatchSizes(BATCH, 100e6)).batches.length).toBeLessThanOrEqual(2);
  });
});
