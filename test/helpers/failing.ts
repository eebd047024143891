import { InfrasageError } from '../../src/errors.ts';
import type { Store } from '../../src/store/store.ts';

/** The store's calls that change something: each of them is made to fail in turn. */
const WRITES = ['insert', 'insertSelected', 'writeBatch', 'mutate'] as const;

/**
 * A store whose n-th change fails: before anything is done, or after all of it
 * is, as where the answer is lost. Every later change fails too, as after a kill.
 */
export function failing(
  store: Store,
  { nth, after }: { nth: number; after: boolean },
): Store & { reached: boolean } {
  let calls = 0;
  const state = { reached: false };
  const guarded = <Args extends unknown[], R>(call: (...args: Args) => Promise<R>) => {
    return async (...args: Args): Promise<R> => {
      calls += 1;
      if (calls < nth) return call(...args);
      state.reached = true;
      if (calls === nth && after) await call(...args);
      throw new InfrasageError('injected failure');
    };
  };
  return new Proxy(store, {
    get(target, property) {
      if (property === 'reached') return state.reached;
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      const bound = value.bind(target) as (...args: unknown[]) => Promise<unknown>;
      return WRITES.some((name) => name === property) ? guarded(bound) : bound;
    },
  }) as Store & { reached: boolean };
}
