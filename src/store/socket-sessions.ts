import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { EmbeddedDatabase } from './embedded-database.ts';
import type { NamedLock } from './named-locks.ts';

/** How often a client that is silent is asked whether it is alive, before it is given up. */
const ASKED = 5;

/** What one client has here; it ends with its connection. */
export interface Session {
  store: EmbeddedDatabase;
  /** The open request that it lives by. */
  response: ServerResponse;
  locks: Map<string, NamedLock & { name: string }>;
  /** Statements under way that change something. */
  changes: Set<Promise<unknown>>;
  /** How often it was asked whether it is alive since it last said so. */
  unanswered: number;
  ended: boolean;
}

/** The sessions of the clients, each with what it holds. */
export class ClientSessions {
  readonly #open = new Map<string, Session>();
  /** Ended sessions with changes under way: their locks are kept until these are done. */
  readonly #draining = new Set<Promise<void>>();
  /** Ids of sessions that were ended because their clients did not answer. */
  readonly #givenUp = new Set<string>();
  readonly #asking: NodeJS.Timeout;

  /** @param silence how long a client may be silent while others wait for it, ms */
  constructor(silence: number) {
    this.#asking = setInterval(() => this.#askHolders(), silence / ASKED).unref();
  }

  /** Begins one, which ends with its connection. @returns its id */
  begin(store: EmbeddedDatabase, response: ServerResponse): string {
    const id = randomUUID();
    const session: Session = {
      store,
      response,
      locks: new Map(),
      changes: new Set(),
      unanswered: 0,
      ended: false,
    };
    this.#open.set(id, session);
    response.once('close', () => this.#end(id));
    if (response.destroyed) this.#end(id);
    return id;
  }

  get(id: string): Session | undefined {
    return this.#open.get(id);
  }

  /** Whether a session was ended because its client did not answer. */
  wasGivenUp(id: string): boolean {
    return this.#givenUp.has(id);
  }

  /** Returns when what clients that have gone had begun is done or failed, and their locks are free. */
  async drained(): Promise<void> {
    await Promise.allSettled(this.#draining);
  }

  /** From here on no client is given up for its silence. */
  stopAsking(): void {
    clearInterval(this.#asking);
  }

  /** Ends all of them; returns when they have let go of what they hold. */
  async endAll(): Promise<void> {
    for (const [id, session] of this.#open) {
      session.response.end();
      this.#end(id);
    }
    await this.drained();
  }

  /**
   * Asks who holds what others wait for whether they are alive, and gives up those that did not answer several times.
   * Times are counted, not measured: while this process itself is stopped, nobody can answer.
   */
  #askHolders(): void {
    for (const [id, session] of this.#open) {
      const { store, locks, response } = session;
      if (![...locks.values()].some(({ name }) => store.isWanted(name))) continue;
      if (session.unanswered < ASKED) {
        session.unanswered += 1;
        response.write('\n');
      } else {
        this.#givenUp.add(id);
        response.destroy();
        this.#end(id);
      }
    }
  }

  #end(id: string): void {
    const session = this.#open.get(id);
    if (!session) return;
    this.#open.delete(id);
    session.ended = true;
    const drained = drain(session).finally(() => this.#draining.delete(drained));
    this.#draining.add(drained);
  }
}

/** The engine does not stop for a client that has gone: only when its changes are done may others have what it locked. */
async function drain({ changes, locks }: Session): Promise<void> {
  await Promise.allSettled(changes);
  for (const lock of locks.values()) await lock.release();
}
