/**
 * Shares an amount in proportion to weights, without a rest: each share is rounded towards nothing, and what is left
 * goes, a unit each, to those that were rounded by most (largest remainder), of equal ones to the first. A negative
 * amount is shared as the positive one is.
 * @param amount in the smallest unit there is, such as cents
 * @param weights none is negative, and one at least is not 0
 * @returns a share a weight, in their order; their sum is the amount
 */
export function shareOut(amount: bigint, weights: readonly bigint[]): bigint[] {
  const whole = sumOf(weights);
  const size = amount < 0n ? -amount : amount;
  const shares = weights.map((weight) => (size * weight) / whole);
  const rest = Number(size - sumOf(shares));
  const byRemainder = weights
    .map((weight, at) => ({ at, remainder: (size * weight) % whole }))
    .sort((a, b) => (b.remainder > a.remainder ? 1 : b.remainder < a.remainder ? -1 : a.at - b.at));
  for (const { at } of byRemainder.slice(0, rest)) shares[at] = (shares[at] ?? 0n) + 1n;
  return amount < 0n ? shares.map((share) => -share) : shares;
}

/**
 * Shares a bill that has parts: the whole of it by shareOut, and each part so that it has no rest either. A share of the
 * whole is off by less than a unit from the exact one; a share of a part by a unit at most (of 20,000 random bills; not
 * proven, and both sums hold without it).
 *
 * Each share of a part is rounded down, and what is left of the part goes, a unit each, to those that lack most to
 * their share of the whole: where some way to fill a table of given sums with units exists, this one finds it
 * (Gale and Ryser).
 * @param amounts of the parts, in the smallest unit there is
 * @param weights as of shareOut
 * @returns by part, its share a weight
 */
export function shareParts(amounts: readonly bigint[], weights: readonly bigint[]): bigint[][] {
  const whole = sumOf(weights);
  const exact = amounts.map((amount) => weights.map((weight) => divided(amount * weight, whole)));
  const totals = shareOut(sumOf(amounts), weights);
  const lacking = totals.map((total, i) => Number(total - sumOf(exact.map((part) => part[i]?.down ?? 0n))));
  return amounts.map((amount, at) => {
    const part = exact[at] ?? [];
    const shares = part.map(({ down }) => down);
    let rest = Number(amount - sumOf(shares));
    while (rest > 0) {
      const next = part
        .map(({ remainder }, i) => ({ i, remainder, lacks: lacking[i] ?? 0 }))
        .filter(({ lacks }) => lacks > 0)
        .sort(
          (a, b) =>
            b.lacks - a.lacks || Number(b.remainder > a.remainder) - Number(b.remainder < a.remainder),
        )
        .slice(0, rest);
      for (const { i, lacks } of next) {
        shares[i] = (shares[i] ?? 0n) + 1n;
        lacking[i] = lacks - 1;
      }
      rest -= next.length;
    }
    return shares;
  });
}

/** Rounded down, also below 0, and what is left. */
function divided(dividend: bigint, divisor: bigint): { down: bigint; remainder: bigint } {
  const remainder = ((dividend % divisor) + divisor) % divisor;
  return { down: (dividend - remainder) / divisor, remainder };
}

function sumOf(values: readonly bigint[]): bigint {
  return values.reduce((sum, value) => sum + value, 0n);
}
