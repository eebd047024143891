// JSON with counts that are exact to 64 bits.

/** Reads JSON; integers that a number cannot hold become bigint. @param {string} text */
export function parse(text) {
  try {
    return JSON.parse(
      text,
      /** @type {(key: string, value: any, context?: { source?: string }) => any} */
      (_key, value, context) =>
        Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source
          ? BigInt(context.source)
          : value,
    );
  } catch {
    return undefined;
  }
}
