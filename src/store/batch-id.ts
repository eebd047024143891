/** Characters of a key in a short id: 48 bits, so that ids can be typed and do not meet. */
const KEY_LENGTH = 12;

/** The id of one attempt at a batch; every row of it carries it. */
export function batchId(key: string, attempt: number): string {
  return `${key}#${attempt}`;
}

/** SQL that shortens a batch id for people: `3fa9c1d20b7e.1`. What is no batch id stays as it is. */
export function shortId(column: string): string {
  return `if(match(${column}, '^[0-9a-f]{64}#[0-9]+$'), concat(substring(${column}, 1, ${KEY_LENGTH}), '.', substring(${column}, 66)), ${column})`;
}
