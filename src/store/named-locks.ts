/** Who else may have a lock at the same time: nobody, or those who share it too. */
export type LockMode = 'exclusive' | 'shared';

/** A lock that is held, until it is released or the process that took it has ended. */
export interface NamedLock {
  /** Lets go of it; may be called again. */
  release(): Promise<void>;
}

interface State {
  /** How many have it; one where it is exclusive. */
  holders: number;
  mode: LockMode;
  waiting: { mode: LockMode; grant: () => void }[];
}

/**
 * Locks by name. First come, first served: who shares a lock waits behind who
 * wants it alone, so that nobody waits for ever.
 */
export class NamedLocks {
  readonly #states = new Map<string, State>();

  /** Takes a lock, waiting in line for it. */
  async take(name: string, mode: LockMode): Promise<NamedLock> {
    const state = this.#states.get(name);
    if (!state) {
      this.#states.set(name, { holders: 1, mode, waiting: [] });
    } else if (state.mode === 'shared' && mode === 'shared' && state.waiting.length === 0) {
      state.holders += 1;
    } else {
      await new Promise<void>((grant) => state.waiting.push({ mode, grant }));
    }
    return this.#held(name);
  }

  /** Takes a lock for oneself alone where nobody has it; undefined where somebody does. */
  tryTake(name: string): NamedLock | undefined {
    if (this.#states.has(name)) return undefined;
    this.#states.set(name, { holders: 1, mode: 'exclusive', waiting: [] });
    return this.#held(name);
  }

  /** Whether somebody waits in line for a lock. */
  isWanted(name: string): boolean {
    return (this.#states.get(name)?.waiting.length ?? 0) > 0;
  }

  #held(name: string): NamedLock {
    let held = true;
    return {
      release: async () => {
        if (held) this.#release(name);
        held = false;
      },
    };
  }

  #release(name: string): void {
    const state = this.#states.get(name);
    if (!state) return;
    state.holders -= 1;
    if (state.holders > 0) return;
    const next = state.waiting.shift();
    if (!next) {
      this.#states.delete(name);
      return;
    }
    const granted = [next];
    while (next.mode === 'shared' && state.waiting[0]?.mode === 'shared')
      granted.push(...state.waiting.splice(0, 1));
    state.mode = next.mode;
    state.holders = granted.length;
    for (const { grant } of granted) grant();
  }
}

/** Does something while a lock is held. */
export async function withLock<T>(
  locks: { lock(name: string, mode: LockMode): Promise<NamedLock> },
  name: string,
  mode: LockMode,
  work: () => Promise<T>,
): Promise<T> {
  const held = await locks.lock(name, mode);
  try {
    return await work();
  } finally {
    await held.release();
  }
}
