const EVENT_UNITS: Record<string, bigint> = {
  '': 1n,
  K: 1_000n,
  M: 1_000_000n,
  B: 1_000_000_000n,
  T: 1_000_000_000_000n,
};

const BYTE_UNITS: Record<string, bigint> = {
  '': 1n,
  B: 1n,
  ...Object.fromEntries(
    ['K', 'M', 'G', 'T', 'P'].flatMap((letter, i) => [
      [`${letter}B`, 1_000n ** BigInt(i + 1)],
      [`${letter}IB`, 1_024n ** BigInt(i + 1)],
    ]),
  ),
};

/** A number of events: 1000000, 1_000_000, 100M, 2.5B. undefined where it is none, or not whole. */
export function eventCount(text: string): bigint | undefined {
  return amount(text, EVENT_UNITS);
}

/** A number of bytes: 1000000, 500GB (10^9), 1.5TiB (2^40). undefined where it is none, or not whole. */
export function byteCount(text: string): bigint | undefined {
  return amount(text, BYTE_UNITS);
}

/** A positive whole number below 2^64 that may be written with a fraction and a unit. */
function amount(text: string, units: Record<string, bigint>): bigint | undefined {
  const [, whole = '', fraction = '', unit = ''] =
    /^(\d[\d_]*)(?:\.(\d{1,12}))? ?([A-Za-z]*)$/.exec(text) ?? [];
  const scale = units[unit.toUpperCase()];
  if (whole === '' || scale === undefined) return undefined;
  const base = 10n ** BigInt(fraction.length);
  const scaled = BigInt(whole.replaceAll('_', '') + fraction) * scale;
  return scaled > 0n && scaled % base === 0n && scaled / base < 2n ** 64n ? scaled / base : undefined;
}
