import type { Generation } from './positions.ts';
import type { Tail } from './tail.ts';

/** A generation whose file is open. */
export interface Opened {
  generation: Generation;
  tail: Tail;
  /** What its first batch is chained on; undefined until that is decided. */
  root: string | undefined;
  /** Whether it is to be said that it is skipped, where its start is known: it was begun after another of its name. */
  later: boolean;
  /** Whether there was nothing in it when it was opened. */
  wasEmpty: boolean;
  /** Whether it is being ingested; false where all that is there is. */
  running: boolean;
}
