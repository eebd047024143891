import { type LockMode, type NamedLock, NamedLocks } from '../named-locks.ts';
import type { RowLocks } from './row-locks.ts';

/** A lock that is shared is joined by others of this process for so long, ms: who wants it alone waits no longer than that. */
const JOIN_MS = 2_000;

interface Shared {
  lock: Promise<NamedLock>;
  users: number;
  since: number;
}

/**
 * The locks of this process: in line here first, so that only one of it
 * stands in the line of all processes; those who share a lock have it from
 * there together.
 */
export class ProcessLocks {
  readonly #rows: RowLocks;
  readonly #here = new NamedLocks();
  readonly #shared = new Map<string, Shared>();

  constructor(rows: RowLocks) {
    this.#rows = rows;
  }

  async take(name: string, mode: LockMode): Promise<NamedLock> {
    const here = await this.#here.take(name, mode);
    return this.#both(here, () => (mode === 'shared' ? this.#join(name) : this.#rows.take(name, mode)));
  }

  async tryTake(name: string): Promise<NamedLock | undefined> {
    const here = this.#here.tryTake(name);
    return here && this.#both(here, () => this.#rows.tryTake(name));
  }

  async #both<T extends NamedLock | undefined>(here: NamedLock, take: () => Promise<T>): Promise<T> {
    let everywhere: T | undefined;
    try {
      everywhere = await take();
    } finally {
      if (!everywhere) await here.release();
    }
    const taken = everywhere;
    if (!taken) return taken;
    return {
      async release() {
        await taken.release();
        await here.release();
      },
    } as T;
  }

  async #join(name: string): Promise<NamedLock> {
    const known = this.#shared.get(name);
    const joined =
      known && performance.now() - known.since < JOIN_MS
        ? known
        : { lock: this.#rows.take(name, 'shared'), users: 0, since: performance.now() };
    this.#shared.set(name, joined);
    joined.users += 1;
    let left = false;
    const leave = async () => {
      if (left) return;
      left = true;
      joined.users -= 1;
      if (joined.users > 0) return;
      if (this.#shared.get(name) === joined) this.#shared.delete(name);
      await (await joined.lock).release();
    };
    try {
      await joined.lock;
    } catch (error) {
      joined.users -= 1;
      if (this.#shared.get(name) === joined) this.#shared.delete(name);
      throw error;
    }
    return { release: leave };
  }
}
