import type { Check } from '../check.ts';
import { alerts } from './alerts.ts';
import { batches } from './batches.ts';
import { channels } from './channels.ts';
import { clock } from './clock.ts';
import { cluster } from './cluster.ts';
import { dataDirectory } from './data-directory.ts';
import { disk } from './disk.ts';
import { engine } from './engine.ts';
import { grants } from './grants.ts';
import { locks } from './locks.ts';
import { schema } from './schema.ts';
import { settings } from './settings.ts';
import { store } from './store.ts';

/**
 * Every check, in the order in which it is made: a new one is a file here and a line in this list. Those of the data
 * directory come before it is opened, which clears away what a process that was killed has left.
 */
export const CHECKS: readonly Check[] = [
  settings,
  dataDirectory,
  locks,
  store,
  engine,
  schema,
  grants,
  cluster,
  disk,
  batches,
  alerts,
  clock,
  channels,
];
