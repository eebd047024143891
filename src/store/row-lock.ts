import { type LockMode, withLock } from './named-locks.ts';
import type { Store } from './store.ts';

/**
 * Does something that writes rows of one batch (shared), or something that no
 * batch may be half written for (exclusive). Not to be nested.
 */
export function withRows<T>(store: Store, mode: LockMode, work: () => Promise<T>): Promise<T> {
  return withLock(store, 'rows', mode, work);
}
