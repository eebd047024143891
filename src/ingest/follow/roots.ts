import { createHash } from 'node:crypto';
import { basename, dirname, resolve } from 'node:path';
import type { Store } from '../../store/store.ts';
import { BOM, headOf } from '../batch.ts';
import { knownBatches } from '../ledger.ts';
import { isRotated } from './copies.ts';
import type { Opened } from './opened.ts';
import { HEAD_BYTES } from './positions.ts';
import type { Seen } from './seen.ts';

/** The open files of a followed name. */
export interface FollowedName {
  path: string;
  opened: Iterable<Opened>;
}

/**
 * What the first batches of followed files are chained on. As a rule that is what the options give, so that what was
 * ingested before is recognised. Of two files that are there at the same time and start alike, the second has a chain
 * of its own, always the same for its name: else what both say would be taken for known.
 */
export class Roots {
  readonly #store: Store;
  /** What the options give. */
  readonly common: string;
  readonly #names = new Set<FollowedName>();

  constructor(store: Store, common: string) {
    this.#store = store;
    this.common = common;
  }

  add(name: FollowedName): void {
    this.#names.add(name);
  }

  /** Decides on the root of a file of which the first line is there, and enters it there. */
  async decide(path: string, of: Opened): Promise<void> {
    const own = createHash('sha256')
      .update(`${this.common}\n${resolve(path)}`)
      .digest('hex');
    const start = of.tail.seen.head(HEAD_BYTES);
    const from = start.subarray(0, BOM.length).equals(Buffer.from(BOM)) ? BOM.length : 0;
    const head = headOf(start.subarray(from));
    const had = (await knownBatches(this.#store, own, head)).some(({ committed }) => committed);
    const ingested = !had && (await this.#wasIngested(path, of, { head, from }));
    // From here on at once: another may be deciding.
    const twin = !ingested && this.#alike(path, of).length > 0;
    of.root = had || twin ? own : this.common;
  }

  /** Whether the ledger has the start of a file, and not from one that is like it. */
  async #wasIngested(path: string, { tail }: Opened, at: { head: string; from: number }): Promise<boolean> {
    for (const { committed, bytes, key } of await knownBatches(this.#store, this.common, at.head)) {
      const starts = async (one: Opened['tail']) =>
        (await one.hashOfStart(this.common, at.from, bytes).catch(() => undefined)) === key;
      if (!committed || !(await starts(tail))) continue;
      const others = await Promise.all(this.#alike(path, { tail }).map((other) => starts(other.tail)));
      if (!others.includes(true)) return true;
    }
    return false;
  }

  /** Other files that are there under other names, on the common root, with the same first line; copies that rotation makes aside. */
  #alike(path: string, { tail }: Pick<Opened, 'tail'>): Opened[] {
    const found: Opened[] = [];
    for (const name of this.#names) {
      if (resolve(name.path) === resolve(path) || areRotations(name.path, path)) continue;
      for (const one of name.opened) {
        const there = !one.tail.left && !one.tail.over && one.root === this.common;
        if (there && one.tail.id !== tail.id && firstLine(one.tail.seen).equals(firstLine(tail.seen)))
          found.push(one);
      }
    }
    return found;
  }
}

/** Whether the first line of a file was seen, or as much of it as is looked at. */
export function hasFirstLine(seen: Seen): boolean {
  const start = seen.head(HEAD_BYTES);
  return start.length === HEAD_BYTES || start.includes('\n');
}

function firstLine(seen: Seen): Buffer {
  const start = seen.head(HEAD_BYTES);
  const end = start.indexOf('\n');
  return end < 0 ? start : start.subarray(0, end);
}

function areRotations(a: string, b: string): boolean {
  if (dirname(resolve(a)) !== dirname(resolve(b))) return false;
  return isRotated(basename(a), basename(b)) || isRotated(basename(b), basename(a));
}
