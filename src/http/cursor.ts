import { CompactEncrypt, compactDecrypt } from 'jose';
import { z } from 'zod';
import type { Period } from '../period.ts';
import type { Position } from '../reports/usage.ts';
import { HttpProblem } from './problem.ts';

/** Longest cursor that is looked at, characters. */
export const MAX_CURSOR = 4096;

/** What a page is of: the tenant (null: all), the grouping, and the period as it was asked for. */
export type Query = readonly (string | null)[];

const contents = z.object({
  query: z.array(z.string().nullable()),
  start: z.iso.datetime().transform((text) => new Date(text)),
  end: z.iso.datetime().transform((text) => new Date(text)),
  open: z.boolean(),
  events: z.string().transform((text) => BigInt(text)),
  tenant: z.string(),
  key: z.string(),
});

/**
 * Cursors of pages: encrypted with a key of this process, so that nothing is read out of one, none is made up,
 * and none is valid for another tenant or query than it was given for. They hold until the server restarts.
 */
export class Cursors {
  readonly #key: Uint8Array;

  /** @param key 32 bytes */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** A cursor for the page after a row. The period in it is fixed, also where 24h was asked for. */
  async seal(query: Query, { start, end, open }: Period, after: Position): Promise<string> {
    const text = JSON.stringify({ query, start, end, open, ...after, events: String(after.events) });
    return new CompactEncrypt(Buffer.from(text))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .encrypt(this.#key);
  }

  /**
   * What a cursor was given for.
   * @throws HttpProblem 400 where it was not given by this process, or for another query
   */
  async open(cursor: string, query: Query): Promise<{ period: Period; after: Position }> {
    const found = contents.safeParse(await this.#decrypt(cursor));
    if (!found.success || JSON.stringify(found.data.query) !== JSON.stringify(query)) throw notValid();
    const { start, end, open, events, tenant, key } = found.data;
    return { period: { start, end, open }, after: { events, tenant, key } };
  }

  async #decrypt(cursor: string): Promise<unknown> {
    try {
      const { plaintext } = await compactDecrypt(cursor, this.#key, {
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: ['A256GCM'],
      });
      return JSON.parse(Buffer.from(plaintext).toString());
    } catch {
      throw notValid();
    }
  }
}

function notValid(): HttpProblem {
  return new HttpProblem(400, 'the cursor is not valid for this query; ask for the first page again');
}
