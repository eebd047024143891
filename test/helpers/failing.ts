import { EventEmitter, once } from 'node:events';
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
  const guard: Guard = async (call) => {
    calls += 1;
    if (calls < nth) return call();
    state.reached = true;
    if (calls === nth && after) await call();
    throw new InfrasageError('injected failure');
  };
  return guarded(store, WRITES, guard, state);
}

/** How long a call that is to fail waits for others to be done. */
const LATE_MS = 600;

/**
 * A store that writes some batches and not others, as a disk with little space left may: of those under way at once,
 * each may fail, at once or behind the others, with nothing stored or all of it.
 * @param share how many of them fail, from 0 to 1
 */
export function failingAtRandom(
  store: Store,
  { random, share }: { random: () => number; share: number },
): Store {
  const done = new EventEmitter().setMaxListeners(0);
  return guarded(store, ['writeBatch'], async (call) => {
    if (random() >= share) {
      await call();
      done.emit('one');
      return;
    }
    if (random() < 0.3) await call();
    if (random() < 0.8) await once(done, 'one', { signal: AbortSignal.timeout(LATE_MS) }).catch(() => {});
    throw new InfrasageError('injected failure');
  });
}

/** Makes a call of the store, or does not. */
type Guard = (call: () => Promise<unknown>) => Promise<unknown>;

/** A store some of whose calls are guarded, with what else it is to have. */
export function guarded<More extends object>(
  store: Store,
  names: readonly (typeof WRITES)[number][],
  guard: Guard,
  more?: More,
): Store & More {
  return new Proxy(store, {
    get(target, property) {
      if (more && property in more) return Reflect.get(more, property);
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      const bound = value.bind(target) as (...args: unknown[]) => Promise<unknown>;
      return names.some((name) => name === property)
        ? (...args: unknown[]) => guard(() => bound(...args))
        : bound;
    },
  }) as Store & More;
}
