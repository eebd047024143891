/** Characters of a key in a short id: 48 bits, so that ids can be typed and do not meet. */
const KEY_LENGTH = 12;

/** The id of one attempt at a batch; every row of it carries it. */
export function batchId(key: string, attempt: number): string {
  return `${key}#${attempt}`;
}

/** A batch id for people: `3fa9c1d20b7e.1`. What is no batch id stays as it is. */
export function shortBatchId(id: string): string {
  return /^[0-9a-f]{64}#[0-9]+$/.test(id) ? `${id.slice(0, KEY_LENGTH)}.${id.slice(65)}` : id;
}

/** SQL that does the same. */
export function shortId(column: string): string {
  return `if(match(${column}, '^[0-9a-f]{64}#[0-9]+$'), concat(substring(${column}, 1, ${KEY_LENGTH}), '.', substring(${column}, 66)), ${column})`;
}

/** In the ledger, the head of a batch of dead letters that were sent again; of others it is a hash. */
export const REPLAY_HEAD = 'replay';
