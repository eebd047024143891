import { Refusal } from './refusal.ts';

/** So many senders that take all they can fill what there is: one has room for two streams at once. */
const SENDERS = 2;
const LEAST_CHUNK = 512;

/**
 * How much of what was sent may be in memory at the same time, from the first
 * byte read to the answer: in all, and of one sender half of that. What goes
 * beyond is refused at once: a sender that tries again later is better served
 * than one that waits behind all others.
 */
export class Budget {
  readonly #most: number;
  #taken = 0;
  readonly #bySender = new Map<string, number>();

  /** @param most bytes */
  constructor(most: number) {
    this.#most = most;
  }

  /** @throws Refusal where there is no room */
  take(sender: string, bytes: number): void {
    const theirs = (this.#bySender.get(sender) ?? 0) + bytes;
    if (theirs > this.#most / SENDERS || this.#taken + bytes > this.#most) {
      throw new Refusal('busy', 'too much is under way', { hint: 'send it again in a moment' });
    }
    this.#taken += bytes;
    this.#bySender.set(sender, theirs);
  }

  give(sender: string, bytes: number): void {
    this.#taken -= bytes;
    const left = (this.#bySender.get(sender) ?? 0) - bytes;
    if (left > 0) this.#bySender.set(sender, left);
    else this.#bySender.delete(sender);
  }
}

/** What a chunk takes: one of a few bytes has more around it than in it. */
export function chunkCost(chunk: Uint8Array): number {
  return Math.max(chunk.length, LEAST_CHUNK);
}
