import type { BigIntStats } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, parse } from 'node:path';
import { readOpen } from '../source.ts';
import { type Fingerprint, fingerprintOf, type Generation, HEAD_BYTES, isPrintOf } from './positions.ts';
import { Seen } from './seen.ts';

/** What a file is known by: how it starts, and how it goes on up to some offsets, ascending; the last is where reading goes on. */
export interface Known {
  head: Fingerprint;
  endings: readonly { offset: number; ending: Fingerprint }[];
  /** Its first bytes, where they are at hand. */
  start?: Uint8Array;
}

/** A file in a folder. */
export interface Entry {
  path: string;
  /** Device and inode; another file may get them when it is gone. */
  id: string;
  /** What tells it from another file that has got its inode, and from itself before a change. */
  version: string;
  /** Bytes. */
  size: number;
  /** When it was last changed, ms. */
  modified: number;
  compressed: boolean;
  /** Whether its name is one that rotation gives: app.log.1, app.log-20260410.gz, app-2026-04-10.log for app.log. */
  rotated: boolean;
}

/** How a file that may be a copy of a known one compares with it. */
export type Comparison =
  /** Something else. */
  | 'other'
  /** It cannot be read, now. */
  | 'unreadable'
  /** The same, and no longer than what was read. */
  | 'read'
  /** The same, and it goes on. */
  | 'longer';

/** How long files are looked for beside one after it has become another, ms. */
export const AROUND_MS = 3_000;
const COMPRESSED = /\.(gz|zst)$/;
/** What rotation puts after a name: .1, -20260410, .2026-04-10T12, .old. */
const ROTATED = /^[._-](\d[\dTZ:._-]*|old|bak)$/;
/** The same before the ending, where app-2.log may be the log of a second process: a date, or what is set off by a dot. */
const ROTATED_INSIDE = /^(\.\d|\.(old|bak)$|[_-](\d{8}|\d{4}-\d{2}))[\dTZ:._-]*$/;

/**
 * The regular files beside a followed one whose names begin like its name, oldest first, of the same time plain ones
 * first. Of one that is being compressed, only the plain file: the other is not whole.
 * @param paths of the followed one: its name, and where that is a link, what it leads to
 */
export async function beside(paths: Iterable<string>): Promise<Entry[]> {
  const found = new Map<string, Entry>();
  for (const path of paths) for (const entry of await besideOne(path)) found.set(entry.id, entry);
  return [...found.values()].sort(
    (a, b) => a.modified - b.modified || Number(a.compressed) - Number(b.compressed),
  );
}

async function besideOne(path: string): Promise<Entry[]> {
  const folder = dirname(path);
  const { name } = parse(path);
  const names = new Set(await readdir(folder).catch(() => []));
  const found: Entry[] = [];
  for (const one of names) {
    if (!one.startsWith(name) || one === basename(path)) continue;
    const plain = one.replace(COMPRESSED, '');
    // Beside the followed name itself, it was compressed from it before that was cut off.
    if (plain !== one && plain !== basename(path) && names.has(plain)) continue;
    const entry = await entryOf(join(folder, one));
    if (entry) found.push({ ...entry, rotated: isRotated(one, basename(path)) });
  }
  return found;
}

/** A regular file; undefined where there is none. */
export async function entryOf(path: string): Promise<Entry | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found?.isFile() ? asEntry(path, found) : undefined;
}

/** The file that was opened under a path. @throws where it is not a regular one */
export async function entryAt(file: FileHandle, path: string): Promise<Entry> {
  const found = await file.stat({ bigint: true });
  if (!found.isFile()) throw new Error('it is not a regular file');
  return asEntry(path, found);
}

export function asEntry(path: string, found: BigIntStats): Entry {
  const { dev, ino, size, mtimeNs, birthtimeNs } = found;
  return {
    path,
    id: `${dev}:${ino}`,
    version: `${dev}:${ino} ${birthtimeNs} ${mtimeNs} ${size}`,
    size: Number(size),
    modified: Number(mtimeNs) / 1e6,
    compressed: COMPRESSED.test(path),
    rotated: false,
  };
}

/** Whether a name is one that rotation gives to a file of another name. */
export function isRotated(name: string, of: string): boolean {
  const plain = name.replace(COMPRESSED, '');
  if (plain.startsWith(of)) return ROTATED.test(plain.slice(of.length));
  const { name: stem, ext } = parse(of);
  return (
    ext !== '' &&
    plain.startsWith(stem) &&
    plain.endsWith(ext) &&
    ROTATED_INSIDE.test(plain.slice(stem.length, -ext.length))
  );
}

/** Opens a file; undefined where it is not there any more, or another one has got its name. */
export async function openAs({ path, id }: Entry): Promise<FileHandle | undefined> {
  const file = await open(path).catch(() => undefined);
  const found = await file?.stat({ bigint: true }).catch(() => undefined);
  if (found && asEntry(path, found).id === id) return file;
  await file?.close();
  return undefined;
}

/** Compares an open file with what is known of one, by its content. One that cannot be decompressed is something else. */
export async function compare(file: FileHandle, { compressed }: Entry, known: Known): Promise<Comparison> {
  return compressed
    ? compareCompressed(file, known).catch(() => 'other')
    : comparePlain(file, known).catch(() => 'unreadable');
}

async function comparePlain(file: FileHandle, { head, endings, start }: Known): Promise<Comparison> {
  const has = async (print: Fingerprint, offset: number) => {
    const bytes = Buffer.alloc(print.length);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, offset);
    return bytesRead === bytes.length && isPrintOf(print, bytes);
  };
  const { size } = await file.stat();
  // A copy that has just been begun.
  if (start && size < head.length)
    return (await has(fingerprintOf(start.subarray(0, size)), 0)) ? 'read' : 'other';
  if (!(await has(head, 0))) return 'other';
  const last = endings.findLast(({ offset }) => offset <= size);
  if (!last) return isLong(head);
  if (!(await has(last.ending, last.offset - last.ending.length))) return 'other';
  return last === endings.at(-1) && size > last.offset ? 'longer' : 'read';
}

async function compareCompressed(file: FileHandle, { head, endings }: Known): Promise<Comparison> {
  const end = endings.at(-1);
  if (!end) return 'other';
  const seen = new Seen();
  for await (const chunk of readOpen(file, '')) {
    const before = chunk.subarray(0, end.offset - seen.length);
    seen.add(before);
    if (seen.headIs(head) === false) return 'other';
    if (seen.length < end.offset) continue;
    if (!isPrintOf(end.ending, seen.ending(end.ending.length))) return 'other';
    if (chunk.length > before.length) return 'longer';
  }
  if (seen.length === end.offset) return 'read';
  return seen.headIs(head) ? isLong(head) : 'other';
}

/** A copy that ends before all that is known of it: its start must be enough to tell it. */
function isLong(head: Fingerprint): Comparison {
  return head.length === HEAD_BYTES ? 'read' : 'other';
}

/** The bytes of an open file after so many, decompressed. A chunk is valid until the next is asked for. */
export async function* restOf(file: FileHandle, name: string, offset: number): AsyncGenerator<Uint8Array> {
  let passed = 0;
  for await (const chunk of readOpen(file, name)) {
    const rest = chunk.subarray(Math.max(0, offset - passed));
    passed += chunk.length;
    if (rest.length > 0) yield rest;
  }
}

/** A generation by what is written down of it; undefined where nothing is. */
export function knownBy({ head, marks }: Generation): (Known & { offset: number }) | undefined {
  const last = marks.at(-1);
  return head && last && { head, endings: marks, offset: last.offset };
}

/** The same by what was read; undefined where nothing was. */
export function seenBy(seen: Seen): (Known & { offset: number }) | undefined {
  if (seen.length === 0) return undefined;
  const offset = seen.length;
  const start = seen.head(HEAD_BYTES);
  const endings = [{ offset, ending: fingerprintOf(seen.ending()) }];
  return { head: fingerprintOf(start), start, endings, offset };
}
