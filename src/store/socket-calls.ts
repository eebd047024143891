import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { EmbeddedDatabase } from './embedded-database.ts';
import { namelessFile } from './extract.ts';
import type { Session } from './socket-sessions.ts';
import type { SpooledBatch } from './store.ts';
import { type asked, CALLS, type Call, type lockAnswer } from './wire.ts';

/** How each call is answered: what is sent as JSON, or rows. */
type Answers = {
  [C in Call]: (session: Session, sent: z.output<(typeof CALLS)[C]>) => Promise<object | Rows | undefined>;
};

/** Sent a line each, so that no result is one text. */
export class Rows {
  readonly rows: readonly unknown[];
  constructor(rows: readonly unknown[]) {
    this.rows = rows;
  }

  /** Lines of JSON in pieces of some size. */
  *text(): Generator<string> {
    let piece = '';
    for (const row of this.rows) {
      piece += `${JSON.stringify(row)}\n`;
      if (piece.length < 1 << 16) continue;
      yield piece;
      piece = '';
    }
    yield piece;
  }
}

/** A result that the engine has written, sent as it is. */
export class Written {
  readonly file: FileHandle;
  constructor(file: FileHandle) {
    this.file = file;
  }
}

const ANSWERS: Answers = {
  '/query': async ({ store }, { sql, params }) => new Rows(await store.query(sql, z.unknown(), params)),
  '/ask': async ({ store }, question): Promise<z.infer<typeof asked>> => ({
    answer: await store.ask(question),
  }),
  // To a file first: the engine is not to wait for who reads it, nor anybody for the engine.
  '/extract': async ({ store }, extract) => {
    const file = await namelessFile(store.spoolDir);
    try {
      await store.writeResult(extract, file);
      return new Written(file);
    } catch (error) {
      await file.close();
      throw error;
    }
  },
  '/command': (session, { sql, params }) => changing(session, (store) => store.command(sql, params)),
  '/mutate': (session, { sql, params }) => changing(session, (store) => store.mutate(sql, params)),
  '/insert': (session, { table, rows }) => changing(session, (store) => store.insert(table, ...rows)),
  '/insert-selected': (session, { params, ...rows }) =>
    changing(session, (store) => store.insertSelected(rows, params)),
  '/write-batch': (session, sent) =>
    changing(session, (store) => store.writeBatch(spooledBatch(store, sent))),
  '/judge-batch': async ({ store }, sent) => {
    const verdicts = await store.judgeBatch(spooledBatch(store, sent));
    return verdicts.map(({ error, lines, bytes }) => ({ error, lines: String(lines), bytes: String(bytes) }));
  },
  '/lock': async (session, { name, mode, wait }): Promise<z.infer<typeof lockAnswer>> => {
    const { store } = session;
    const held = wait ? await store.lock(name, mode) : await store.tryLock(name);
    if (!held) return { lock: null };
    const lock = randomUUID();
    // Its client may have gone while it waited in line.
    if (session.ended) await held.release();
    else session.locks.set(lock, { name, release: () => held.release() });
    return { lock };
  },
  '/unlock': async ({ locks }, { lock }) => {
    await locks.get(lock)?.release();
    locks.delete(lock);
    return undefined;
  },
  '/alive': async (session) => {
    session.unanswered = 0;
    return undefined;
  },
};

async function changing(
  session: Session,
  change: (store: EmbeddedDatabase) => Promise<void>,
): Promise<undefined> {
  const running = change(session.store);
  session.changes.add(running);
  try {
    await running;
  } finally {
    session.changes.delete(running);
  }
}

/** The file's name has no folder in it, so nothing but what is spooled can be read. */
function spooledBatch(
  store: EmbeddedDatabase,
  { file, ...batch }: z.output<(typeof CALLS)['/write-batch']>,
): SpooledBatch {
  return { ...batch, path: join(store.spoolDir, file) };
}

/** Does what a client asks for. */
export async function runCall<C extends Call>(
  call: C,
  session: Session,
  body: unknown,
): Promise<object | Rows | undefined> {
  const sent = CALLS[call].parse(body) as z.output<(typeof CALLS)[C]>;
  return ANSWERS[call](session, sent);
}

export function isCall(url: string): url is Call {
  return Object.hasOwn(CALLS, url);
}
