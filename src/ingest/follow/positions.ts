import { createHash, randomUUID } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { storeFailure } from '../../store/failure.ts';
import type { Store } from '../../store/store.ts';
import { committedKeys } from '../ledger.ts';

/** Bytes by which the start of a file is told from others. */
export const HEAD_BYTES = 1024;

/** Batches of a file that are written down: more than can be under way, so that the oldest is committed for sure. */
const MOST_MARKS = 16;
/** Files that a followed name stood for, and that are written down; of those that are not done, all are. */
const MOST_GENERATIONS = 8;

const fingerprint = z.object({ length: z.number().int(), hash: z.string() });

/** Some bytes, told from others. */
export type Fingerprint = z.infer<typeof fingerprint>;

const mark = z.object({
  /** Bytes of the file up to the end of the batch. */
  offset: z.number().int(),
  /** Number of the line that comes next. */
  line: z.number().int(),
  previousKey: z.string(),
  key: z.string(),
  unfinished: z.boolean(),
  /** The bytes before the offset. */
  ending: fingerprint,
});

/** The end of a batch in a file; written down before the batch is begun, so it counts where the ledger has the batch committed. */
export type Mark = z.infer<typeof mark>;

const generation = z.object({
  /** Device and inode when it was last seen: where to look first. Its content decides. */
  id: z.string(),
  /** When it was last changed, as its file system says, ms. */
  modified: z.number(),
  /** What its first batch is chained on, where that is not what the options give. */
  root: z.string().optional(),
  head: fingerprint.optional(),
  marks: z.array(mark),
  /** Whether it was read to its end after its name had gone to another file. */
  done: z.boolean(),
});

/** One of the files that a followed name has stood for, and what was taken of it. */
export type Generation = z.infer<typeof generation>;

const contents = z.object({
  path: z.string(),
  generations: z.array(generation),
  /** Files that were changed since are looked at, whether they had the name. */
  since: z.number().optional(),
});

export function fingerprintOf(bytes: Uint8Array): Fingerprint {
  return { length: bytes.length, hash: createHash('sha256').update(bytes).digest('hex') };
}

export function isPrintOf(print: Fingerprint, bytes: Uint8Array): boolean {
  return bytes.length === print.length && fingerprintOf(bytes).hash === print.hash;
}

/**
 * How far a followed name was read, in a file of its own. It is replaced before each batch is begun, so after a kill
 * it names every batch there may be; which of them are committed is asked of the ledger. It saves reading a file
 * from its start, and knows a copy of it that ends earlier: without it, or with an old one, the chain in the ledger
 * recognises what was ingested.
 */
export class Positions {
  static #count = 0;
  readonly #file: string;
  /** What replaces it; a name of its own, as others may follow the same name. */
  readonly #next: string;
  readonly #path: string;
  readonly generations: Generation[];
  /** Since when files are looked at whether they had the name, while that is under way; ms. */
  since: number | undefined;
  #saving: Promise<void> = Promise.resolve();
  /** Roots of files of which nothing was committed, by device and inode: they are taken up again. */
  readonly #rootsBefore = new Map<string, string>();
  readonly #apart: boolean;

  private constructor(file: string, { path, generations, since }: z.infer<typeof contents>, apart: boolean) {
    this.#apart = apart;
    this.#file = file;
    this.#next = `${file}.${process.pid}-${Positions.#count++}.new`;
    this.#path = path;
    this.generations = generations;
    this.since = since;
  }

  /**
   * @param folder where such files are
   * @param options.identity what else it depends on: the options and the store
   * @param options.apart whether each file is a chain that nothing before can be taken for
   */
  static async of(
    path: string,
    { folder, identity, apart = false }: { folder: string; identity: string; apart?: boolean },
  ): Promise<Positions> {
    const name = createHash('sha256').update(`${identity}\n${path}`).digest('hex').slice(0, 32);
    const file = join(folder, `${name}.json`);
    return new Positions(file, (await read(file)) ?? { path, generations: [] }, apart);
  }

  add(id: string, modified: number): Generation {
    const root = this.#apart ? (this.#rootsBefore.get(id) ?? newRoot()) : undefined;
    this.#rootsBefore.delete(id);
    const added: Generation = { id, modified, marks: [], done: false, ...(root && { root }) };
    this.generations.push(added);
    const done = this.generations.filter((one) => one.done);
    for (const one of done.slice(0, Math.max(0, this.generations.length - MOST_GENERATIONS))) {
      this.generations.splice(this.generations.indexOf(one), 1);
    }
    return added;
  }

  /**
   * Forgets what was taken of a file as far as the ledger does not have it; all of it, where it has nothing.
   * @returns since when files may have been changed of which nothing is written down, ms; undefined where nothing was
   */
  async settle(store: Store): Promise<number | undefined> {
    const newest = this.generations.at(-1);
    for (const one of this.generations) {
      const committed = await committedKeys(store, one.marks);
      const open = one.marks.findIndex(({ key }) => !committed.has(key));
      if (open >= 0) one.marks.splice(open);
    }
    const forgotten = this.generations.filter(({ marks, done }) => marks.length === 0 && !done);
    for (const { id, root } of forgotten) if (root) this.#rootsBefore.set(id, root);
    const kept = this.generations.filter(({ marks }) => marks.length > 0);
    this.generations.splice(0, this.generations.length, ...kept);
    const times = [newest, ...forgotten].flatMap((one) => one?.modified ?? []);
    return times.length === 0 ? this.since : Math.min(...times, this.since ?? Number.POSITIVE_INFINITY);
  }

  /** @param taken the batch that is going to be begun */
  async mark(one: Generation, taken: Mark): Promise<void> {
    one.marks.push(taken);
    if (one.marks.length > MOST_MARKS) one.marks.shift();
    await this.save();
  }

  /**
   * Writes it down; a crash leaves the old or the new one. Where roots are in it, also a power failure does: with
   * them lost, what was ingested would count as new.
   * @throws InfrasageError (exit 3) where the disk is full
   */
  async save(): Promise<void> {
    const { generations, since } = this;
    const text = JSON.stringify({ path: this.#path, generations, since });
    const saving = this.#saving.then(async () => {
      const durable = generations.some(({ root }) => root !== undefined);
      await write(this.#next, text, durable);
      await rename(this.#next, this.#file);
      if (durable) await syncFolder(dirname(this.#file));
    });
    this.#saving = saving.catch(() => {});
    try {
      await saving;
    } catch (error) {
      throw storeFailure(error);
    }
  }
}

function newRoot(): string {
  return createHash('sha256').update(randomUUID()).digest('hex');
}

async function write(path: string, text: string, durable: boolean): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(text);
    if (durable) await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function read(file: string): Promise<z.infer<typeof contents> | undefined> {
  try {
    return contents.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    // None yet, or one that a power failure has left.
    return undefined;
  }
}
