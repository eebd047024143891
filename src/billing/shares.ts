/**
 * Shares an amount in proportion to weights, without a rest: each share is rounded towards nothing, and what is left
 * goes, a unit each, to those that were rounded by most (largest remainder), of equal ones to the first. A negative
 * amount is shared as the positive one is.
 * @param amount in the smallest unit there is, such as cents
 * @param weights none is negative, and one at least is not 0
 * @returns a share a weight, in their order; their sum is the amount
 */
export function shareOut(amount: bigint, weights: readonly bigint[]): bigint[] {
  const whole = weights.reduce((sum, weight) => sum + weight, 0n);
  const size = amount < 0n ? -amount : amount;
  const shares = weights.map((weight) => (size * weight) / whole);
  const rest = Number(size - shares.reduce((sum, share) => sum + share, 0n));
  const byRemainder = weights
    .map((weight, at) => ({ at, remainder: (size * weight) % whole }))
    .sort((a, b) => (b.remainder > a.remainder ? 1 : b.remainder < a.remainder ? -1 : a.at - b.at));
  for (const { at } of byRemainder.slice(0, rest)) shares[at] = (shares[at] ?? 0n) + 1n;
  return amount < 0n ? shares.map((share) => -share) : shares;
}
