import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { quoted } from '../literal.ts';
import type { LockMode, NamedLock } from '../named-locks.ts';
import { isAlive } from '../process.ts';
import { uint64 } from '../store.ts';
import { parseRows } from '../text-rows.ts';
import type { Connection } from './connection.ts';
import { machine } from './machine.ts';
import { fence, type Session, sessionOwner } from './session.ts';

/** Pause between two looks at a lock that somebody has, the first and the longest, ms. */
const LOOK = { first: 20, most: 250 };

/** Of several rows of one claim, that with the highest version counts, whenever the others arrive. */
const VERSION = { choosing: 1, waiting: '1000000000000', released: '2000000000000' };

/** A claim to a lock, as the table has it. */
const rival = z.object({
  holder: z.string(),
  session: z.string(),
  state: z.enum(['choosing', 'waiting']),
  ticket: uint64,
  /** Empty where its session is not there any more. */
  owner: z.string(),
  /** Its term is over, or it was fenced. */
  expired: z.coerce.boolean(),
});
type Rival = z.infer<typeof rival>;

/**
 * Locks made of rows, by Lamport's bakery: who wants one says that it is
 * choosing, takes the number after the highest there is, and waits for those
 * who are choosing and those with a lower number. It needs no more than that
 * what was inserted is seen by who asks later. Who finds nobody after it has
 * said that it is choosing has the lock, and remains choosing: whoever comes
 * later waits for it all the same. So a lock that nobody wants takes two
 * statements and a third to release.
 */
export class RowLocks {
  readonly #connection: Connection;
  readonly #db: string;
  readonly #session: Session;
  readonly #newId: () => string;
  readonly #held = new Set<string>();

  constructor(connection: Connection, db: string, session: Session, newId: () => string) {
    this.#connection = connection;
    this.#db = db;
    this.#session = session;
    this.#newId = newId;
  }

  get areHeld(): boolean {
    return this.#held.size > 0;
  }

  /** Takes a lock; waits in line for it. */
  async take(name: string, mode: LockMode): Promise<NamedLock> {
    const claim = await this.#choose(name, mode);
    try {
      if (await this.#isBlocked(claim)) await this.#wait(claim);
      return this.#lock(claim);
    } catch (error) {
      await this.#release(claim).catch(() => {});
      throw error;
    }
  }

  /** Takes a lock for oneself alone where nobody has it or waits for it; undefined where somebody does. */
  async tryTake(name: string): Promise<NamedLock | undefined> {
    const claim = await this.#choose(name, 'exclusive');
    try {
      if (!(await this.#isBlocked(claim))) return this.#lock(claim);
    } catch (error) {
      await this.#release(claim).catch(() => {});
      throw error;
    }
    await this.#release(claim);
    return undefined;
  }

  #lock(claim: Claim): NamedLock {
    this.#held.add(claim.holder);
    return {
      release: async () => {
        if (!this.#held.delete(claim.holder)) return;
        // What cannot be released now is free when the term of this session is over.
        await this.#release(claim).catch(() => {});
      },
    };
  }

  async #choose(name: string, mode: LockMode): Promise<Claim> {
    await this.#session.begin();
    const claim = { name, mode, holder: this.#newId() };
    await this.#insert(claim, `'choosing', 0, ${VERSION.choosing}`);
    return claim;
  }

  async #release(claim: Claim): Promise<void> {
    await this.#insert(claim, `'released', 0, ${VERSION.released}`);
  }

  async #insert(
    { name, mode, holder, session = this.#session.id }: Claim,
    rest: string,
    from = '',
  ): Promise<void> {
    await this.#connection.run({
      sql: `INSERT INTO ${this.#db}.infrasage_locks (name, holder, session, mode, state, ticket, version)
        SELECT ${[name, holder, session, mode].map(quoted).join(', ')}, ${rest} ${from}`,
    });
  }

  async #wait(claim: Claim): Promise<void> {
    // Where it is sent twice, since the first answer was lost, the lower number counts, for all alike.
    await this.#insert(
      claim,
      `'waiting', max(l.ticket) + 1 AS number, ${VERSION.waiting} - number`,
      `FROM ${this.#db}.infrasage_locks AS l WHERE l.name = ${quoted(claim.name)}`,
    );
    for (let pause = LOOK.first; await this.#isBlocked(claim); pause = Math.min(LOOK.most, pause * 2)) {
      await wait(pause);
    }
  }

  /** Whether somebody comes first; those that are gone are put out of the line. */
  async #isBlocked(claim: Claim): Promise<boolean> {
    const rows = await this.#rows(claim);
    const own = rows.find(({ holder }) => holder === claim.holder);
    const before = rows.filter((other) => other !== own && comesBefore(other, own));
    const there = await Promise.all(before.map((other) => this.#putOut(claim, other)));
    return there.some(Boolean);
  }

  /** @returns whether it is still there */
  async #putOut({ name, mode }: Claim, { holder, session, owner, expired }: Rival): Promise<boolean> {
    if (!expired && !isGone(owner)) return true;
    // First of all it can write nothing any more.
    await fence(this.#connection, this.#db, session);
    await this.#release({ name, mode, holder, session });
    return false;
  }

  /** The claims to a lock that are in each other's way, this one among them. */
  async #rows({ name, mode, holder }: Claim): Promise<Rival[]> {
    const conflicting = mode === 'shared' ? `AND (mode = 'exclusive' OR holder = ${quoted(holder)})` : '';
    const answer = await this.#connection.run({
      sql: `SELECT l.holder AS holder, l.session AS session, l.state AS state, l.ticket AS ticket,
          s.owner AS owner,
          s.until < now64(3) OR l.session IN (SELECT id FROM ${this.#db}.infrasage_fences) AS expired
        FROM (
          SELECT holder, session, state, ticket FROM ${this.#db}.infrasage_locks FINAL
          WHERE name = ${quoted(name)} AND state != 'released' ${conflicting}
        ) AS l
        LEFT JOIN (SELECT session, owner, until FROM ${this.#db}.infrasage_sessions FINAL) AS s ON s.session = l.session`,
    });
    return z.array(rival).parse(parseRows(answer));
  }
}

interface Claim {
  name: string;
  mode: LockMode;
  holder: string;
  /** Where it is another's. */
  session?: string;
}

/** @param own the claim itself; while it has no number, whoever is there comes first */
function comesBefore(other: Rival, own: Rival | undefined): boolean {
  if (own?.state !== 'waiting' || other.state === 'choosing') return true;
  return other.ticket < own.ticket || (other.ticket === own.ticket && other.holder < own.holder);
}

/** Whether the process of a session ran on this machine and has ended. Elsewhere, its term tells. */
function isGone(owner: string): boolean {
  if (owner === '') return false;
  const { machine: where, ...process } = sessionOwner.parse(JSON.parse(owner));
  return where !== '' && where === machine() && !isAlive(process);
}
