import { z } from 'zod';
import { InfrasageError } from '../../errors.ts';
import { quoted } from '../literal.ts';
import { thisProcess } from '../process.ts';
import type { Connection } from './connection.ts';
import { CODE, Refused } from './failure.ts';
import { machine } from './machine.ts';

/** How long a process that does not renew its term is left alone, seconds, and how often it does, ms. */
const TERM_S = 20;
const RENEW_MS = 5_000;

/**
 * This process as the holder of locks, by a row that it renews. When its term
 * is over, others may fence it, and none of its inserts begins any more.
 */
export class Session {
  readonly id: string;
  readonly #connection: Connection;
  readonly #db: string;
  readonly #mayBegin: () => Promise<void>;
  #begun: Promise<void> | undefined;
  #version = 0;
  #renewing: NodeJS.Timeout | undefined;
  #renewal: Promise<unknown> = Promise.resolve();

  /** @param mayBegin rejects where what a process with locks does is not allowed */
  constructor(connection: Connection, db: string, id: string, mayBegin: () => Promise<void>) {
    this.#connection = connection;
    this.#db = db;
    this.id = id;
    this.#mayBegin = mayBegin;
  }

  /** Begins with the first lock. */
  begin(): Promise<void> {
    this.#begun ??= this.#begin().catch((error: unknown) => {
      this.#begun = undefined;
      throw error;
    });
    return this.#begun;
  }

  async #begin(): Promise<void> {
    await this.#mayBegin();
    await this.#renew();
    this.#renewing = setInterval(() => {
      // A failure shows in what needs the session; the next renewal may work.
      this.#renewal = this.#renew().catch(() => {});
    }, RENEW_MS).unref();
  }

  /** @param seconds until others may take it for gone */
  async #renew(seconds = TERM_S): Promise<void> {
    this.#version += 1;
    const owner = JSON.stringify({ ...thisProcess(), machine: machine() });
    await this.#connection.run({
      sql: `INSERT INTO ${this.#db}.infrasage_sessions (session, owner, until, version)
        SELECT ${quoted(this.id)}, ${quoted(owner)}, now64(3) + INTERVAL ${seconds} SECOND, ${this.#version}`,
    });
  }

  /**
   * A condition for the WHERE of an INSERT … SELECT: true while neither this
   * session nor the batch is fenced; otherwise the statement fails, and
   * writes nothing. The server looks when the statement begins.
   * @param batchId the batch whose rows are inserted, if any
   */
  guard(batchId?: string): string {
    const ids = [...(this.#begun ? [this.id] : []), ...(batchId === undefined ? [] : [batchId])];
    if (ids.length === 0) return '1';
    const conditions = [
      `(SELECT count() FROM ${this.#db}.infrasage_fences WHERE id IN (${ids.map(quoted).join()})) > 0`,
      // The row goes after a week: a process that sleeps for longer is gone as well.
      ...(this.#begun
        ? [`(SELECT count() FROM ${this.#db}.infrasage_sessions WHERE session = ${quoted(this.id)}) = 0`]
        : []),
    ];
    return `NOT throwIf(${conditions.join(' OR ')}, '${FENCED}')`;
  }

  /** Ends it. Locks that are still held are free at once. */
  async end(holdsLocks: boolean): Promise<void> {
    clearInterval(this.#renewing);
    if (!this.#begun) return;
    await this.#renewal;
    if (!holdsLocks) return;
    await fence(this.#connection, this.#db, this.id);
    await this.#renew(0);
  }
}

const FENCED = 'infrasage: fenced';

/** Whether an insert was refused by its guard. */
export function isFenced(error: unknown): boolean {
  const cause = error instanceof InfrasageError ? error.cause : error;
  return cause instanceof Refused && cause.code === CODE.thrownIf && cause.message.includes(FENCED);
}

/** The words for it. */
export function fencedFailure(cause: unknown): InfrasageError {
  return new InfrasageError(
    `this process did not answer for more than ${TERM_S} seconds, and another has settled what it had begun`,
    { hint: 'run the same command again: it goes on after what is ingested', cause },
  );
}

/** Fences a session or a batch: when this returns, no insert under this id begins any more. */
export async function fence(connection: Connection, db: string, id: string): Promise<void> {
  await connection.run({ sql: `INSERT INTO ${db}.infrasage_fences (id) SELECT ${quoted(id)}` });
}

export const sessionOwner = z.object({
  machine: z.string(),
  host: z.string(),
  pid: z.number(),
  started: z.string(),
});
