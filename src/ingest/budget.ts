import { Refusal } from './refusal.ts';

/**
 * How much of what was sent may be in memory at the same time, from the first
 * byte read to the answer. What goes beyond is refused at once: a sender that
 * tries again later is better served than one that waits behind all others.
 */
export class Budget {
  readonly #most: number;
  #taken = 0;

  /** @param most bytes */
  constructor(most: number) {
    this.#most = most;
  }

  /** @throws Refusal where there is no room */
  take(bytes: number): void {
    if (this.#taken + bytes > this.#most) {
      throw new Refusal('busy', 'too much is under way', { hint: 'send it again in a moment' });
    }
    this.#taken += bytes;
  }

  give(bytes: number): void {
    this.#taken -= bytes;
  }
}
