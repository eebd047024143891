import { createHash } from 'node:crypto';
import type { NamedLock } from '../store/named-locks.ts';
import type { Store } from '../store/store.ts';
import type { Batch } from './batch.ts';

/** Where a batch stands: after which key, and how it starts. Whatever has the same bytes stands at the same place, however it is cut. */
export type Place = Pick<Batch, 'previousKey' | 'head'>;

/** A place in short, also as a part of a file's name. */
export function placeId({ previousKey, head }: Place): string {
  return createHash('sha256').update(`${previousKey} ${head}`).digest('hex').slice(0, 32);
}

/**
 * The right to begin, write and settle batches at a place, which one run of one
 * process has at a time: it is taken before the ledger is asked what is there,
 * and kept until what was begun is committed or given up. So a pending batch
 * at a place that nobody claims is nobody's any more.
 */
export type Claim = NamedLock;

/** Claims a place; waits for who has it. */
export function claim(store: Store, place: Place): Promise<Claim> {
  return store.lock(`place ${placeId(place)}`);
}

/**
 * Claims a place that nobody has; undefined where somebody does.
 * @param place a place, in short
 */
export function tryClaim(store: Store, place: string): Promise<Claim | undefined> {
  return store.tryLock(`place ${place}`);
}
