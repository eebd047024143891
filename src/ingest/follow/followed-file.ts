import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Store } from '../../store/store.ts';
import { startsCompressed } from '../source.ts';
import { beside, compare, type Entry, entryAt, entryOf, knownBy, openAs } from './copies.ts';
import type { Opened } from './opened.ts';
import type { Generation, Positions } from './positions.ts';
import { type ReaderDeps, Readers } from './readers.ts';
import { RotatedFiles } from './rotated-files.ts';
import { Seen, seenBefore } from './seen.ts';
import { wordsOf } from './sources.ts';

/** How long a file that could not be read is left alone, ms: at first, and when that comes again and again. */
const PAUSE_MS = { first: 400, most: 30_000 };

/** A file that could not be read to its end. */
interface Failed {
  generation: Generation;
  /** Device and inode. */
  id: string;
  /** How far it had been read. */
  length: number;
  pause: number;
  until: number;
}

/** A file that has what was read of a generation. */
interface Found {
  entry: Entry;
  file: FileHandle;
  seen: Seen;
  /** Whether it has more than that. */
  more: boolean;
}

/** How a followed name is read, and the store that knows what was ingested. */
export interface FollowedDeps extends ReaderDeps {
  store: Store;
}

/**
 * A name, and the files that it stands for one after the other: its
 * generations. Each is a chain of its own, and is read through its own
 * descriptor beside that of the next, so a file that was renamed or deleted is
 * read to its end. What is no longer to be had there (it was copied and cut off),
 * or had the name while nobody looked, is looked for beside it and told by its
 * content.
 */
export class FollowedFile {
  readonly #path: string;
  /** Its name, and what it leads to where it is a link. */
  readonly #paths: Set<string>;
  readonly #positions: Positions;
  readonly #deps: FollowedDeps;
  readonly #readers: Readers;
  readonly #rotated: RotatedFiles;
  #current: Opened | undefined;
  /** When the last one was changed, where there is no current one any more. */
  #before: number | undefined;
  #failed: Failed | undefined;
  /** What was last said of why the name cannot be read. */
  #said = '';

  constructor(path: string, positions: Positions, deps: FollowedDeps) {
    this.#path = path;
    this.#paths = new Set([resolve(path)]);
    this.#positions = positions;
    this.#deps = deps;
    this.#readers = new Readers(path, positions, deps, {
      beside: () => beside(this.#paths),
      discover: (since) => this.#rotated.discover(since),
    });
    this.#rotated = new RotatedFiles(this.#paths, positions, this.#readers);
  }

  /** Goes on with what is written down of it, before it is followed. */
  async resume(): Promise<void> {
    await this.#resume().catch(this.#deps.fail);
  }

  /** Follows it until it is told to stop; what was read is committed then. */
  async follow(): Promise<void> {
    const { stop, ticker, fail } = this.#deps;
    try {
      while (!stop.aborted) {
        await this.#look();
        await ticker.next();
      }
    } catch (error) {
      fail(error);
    }
    await this.#readers.end();
  }

  /** Goes on with the generations that are written down, wherever they are now. */
  async #resume(): Promise<void> {
    await this.#followLink();
    const since = await this.#positions.settle(this.#deps.store);
    const taken = new Set<string>();
    for (const generation of this.#positions.generations.toReversed()) {
      const own = await entryOf(this.#path);
      const entries = [...(own ? [own] : []), ...(await beside(this.#paths))].filter(
        ({ id }) => !taken.has(id),
      );
      const { found, unreadable } = await this.#goOn(generation, entries);
      if (found) taken.add(found.id);
      else if (unreadable && !generation.done) {
        this.#deps.say(
          `${unreadable.path} cannot be read: where it has more of what ${this.#path} had, that is taken at the next start`,
        );
      } else if (!generation.done) {
        this.#deps.say(
          `${this.#path} was cut off or deleted while it was not followed: what it had then and is not ingested is lost`,
        );
        // It is said once.
        generation.done = true;
        await this.#positions.save();
      }
    }
    if (since !== undefined) await this.#rotated.discover(since);
  }

  /**
   * Looks for the file of a generation, and reads on in it.
   * @returns that file, and one that may be it
   */
  async #goOn(
    generation: Generation,
    entries: readonly Entry[],
  ): Promise<{ found?: Entry; unreadable?: Entry }> {
    const known = knownBy(generation);
    if (!known) return {};
    const likely = entries.toSorted(
      (a, b) => Number(b.id === generation.id) - Number(a.id === generation.id),
    );
    const take = (found: Found) => this.#takeUp(generation, found, known.offset);
    // A copy that has no more than was read may be an older one, of what another has.
    let read: Found | undefined;
    let unreadable: Entry | undefined;
    for (const entry of likely) {
      // It was read to its end, and not written to since, before it was compressed.
      if (entry.compressed && generation.done && entry.modified <= generation.modified) continue;
      const file = await openAs(entry);
      if (!file) continue;
      // Read before it is compared: then it is from what was found to be the same.
      const seen = await seenBefore(file, known.offset).catch(() => undefined);
      const is = seen ? await compare(file, entry, known) : 'unreadable';
      if (!seen || is === 'unreadable') {
        unreadable ??= entry;
        await file.close();
        continue;
      }
      const cutOff = entry.size < known.offset && entry.path === this.#path;
      const own = entry.id === generation.id && !cutOff;
      const found = { entry, file, seen, more: is === 'longer' };
      if (found.more || (is === 'read' && own)) {
        await read?.file.close();
        return { found: await take(found) };
      }
      if (is === 'read' && !cutOff && !read) read = found;
      else await file.close();
    }
    if (read) return { found: await take(read) };
    return unreadable ? { unreadable } : {};
  }

  /** Reads on in the file that was found to be a generation's, or to have all that was read of it. */
  async #takeUp(generation: Generation, { entry, file, seen, more }: Found, offset: number): Promise<Entry> {
    if (entry.compressed && more) this.#readers.readRest(generation, file, entry);
    else if (!entry.compressed && entry.size >= offset) this.#readOn(generation, file, { ...entry, seen });
    else {
      await file.close();
      if (entry.compressed && !generation.done) {
        generation.done = true;
        await this.#positions.save();
      }
    }
    return entry;
  }

  /** Sees what the name stands for now, and what became of the others. */
  async #look(): Promise<void> {
    await this.#readers.tidy(this.#current);
    if (this.#current && !this.#readers.opened.has(this.#current)) {
      this.#before = this.#current.tail.since;
      if (this.#current.tail.failed) this.#leaveAlone(this.#current);
      else this.#failed = undefined;
      this.#current = undefined;
    }
    await this.#rotated.lookAround();
    const entry = await entryOf(this.#path);
    const current = this.#current;
    if (entry && entry.id === current?.tail.id && !current.tail.over) {
      current.tail.left = false;
      current.tail.named = entry.modified;
      return;
    }
    if (current) current.tail.left = true;
    if (entry && entry.id === this.#failed?.id && performance.now() < this.#failed.until) return;
    const found = await this.#open();
    if (!found || (await this.#readAgain(found))) return;
    const since = current?.tail.since ?? this.#before;
    if (since !== undefined) await this.#rotated.discover(since);
    await this.#begin(found, since !== undefined);
  }

  /** Waits longer each time, as long as nothing more can be read of a file. */
  #leaveAlone({ generation, tail }: Opened): void {
    const before = this.#failed;
    const again = before?.generation === generation && before.length === tail.seen.length;
    const pause = again ? Math.min(before.pause * 2, PAUSE_MS.most) : PAUSE_MS.first;
    const until = performance.now() + pause;
    this.#failed = { generation, id: tail.id, length: tail.seen.length, pause, until };
  }

  /** Goes on in a file that could not be read, after what was taken of it; false where this is not the one. */
  async #readAgain({ file, entry }: { file: FileHandle; entry: Entry }): Promise<boolean> {
    const failed = this.#failed;
    if (failed?.id !== entry.id) return false;
    const { generation } = failed;
    const known = knownBy(generation);
    try {
      const seen = known ? await seenBefore(file, known.offset) : new Seen();
      const is = known ? await compare(file, entry, known) : 'read';
      if (is === 'unreadable') throw new Error(is);
      const same = is !== 'other';
      if (!same || entry.size < seen.length) return false;
      this.#readOn(generation, file, { ...entry, seen });
    } catch {
      // Not even what was read before.
      const pause = Math.min(failed.pause * 2, PAUSE_MS.most);
      this.#failed = { ...failed, pause, until: performance.now() + pause };
      await file.close();
    }
    return true;
  }

  /**
   * Starts with the file that has the name now.
   * @param later whether another had it before
   */
  async #begin({ file, entry }: { file: FileHandle; entry: Entry }, later: boolean): Promise<void> {
    const open = this.#readers.find(entry.id);
    if (open) {
      // It was moved back.
      open.tail.left = false;
      this.#current = open;
      return file.close();
    }
    if (this.#current || this.#before !== undefined)
      this.#deps.say(`${this.#path} was rotated: reading on in the new one`);
    const generation = this.#positions.add(entry.id, entry.modified);
    await this.#positions.save();
    this.#current = this.#readers.read(generation, file, { ...entry, left: false, later, seen: new Seen() });
  }

  /** Opens what the name stands for; undefined where that cannot be followed, which is said once. */
  async #open(): Promise<{ file: FileHandle; entry: Entry } | undefined> {
    let file: FileHandle | undefined;
    try {
      // A named pipe would be waited for.
      if (!(await stat(this.#path)).isFile()) throw new Error('it is not a regular file');
      file = await open(this.#path);
      await this.#followLink();
      const entry = await entryAt(file, this.#path);
      if (startsCompressed(file.fd))
        throw new Error('it is compressed; infrasage ingest without --follow takes it');
      this.#said = '';
      return { file, entry };
    } catch (error) {
      await file?.close();
      this.#waitFor(error);
      return undefined;
    }
  }

  async #followLink(): Promise<void> {
    const path = await realpath(this.#path).catch(() => undefined);
    if (path) this.#paths.add(path);
  }

  #waitFor(error: unknown): void {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    const words = missing ? 'it is not there' : wordsOf(error);
    if (words !== this.#said) this.#deps.say(`waiting for ${this.#path}: ${words}`);
    this.#said = words;
  }

  /** Reads on in a plain file that is a generation. */
  #readOn(generation: Generation, file: FileHandle, as: Entry & { seen: Seen }): void {
    generation.id = as.id;
    const left = as.path !== this.#path;
    const opened = this.#readers.read(generation, file, { ...as, left });
    if (!left) this.#current = opened;
  }
}
