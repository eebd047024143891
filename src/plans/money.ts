import Big from 'big.js';

/**
 * An exact decimal. Made of text and bigint alone: a binary float is refused where it is given, and where one would
 * come out.
 */
export type Decimal = Big;

const Exact = Big();
Exact.strict = true;

/** The exact decimal of a text such as `0.1`, or of a whole number. */
export function decimal(value: string | bigint): Decimal {
  return new Exact(value);
}

export const ZERO: Decimal = decimal(0n);

/** The exact sum. */
export function sum(amounts: readonly Decimal[]): Decimal {
  return amounts.reduce((total, amount) => total.plus(amount), ZERO);
}

let currencies: ReadonlySet<string> | undefined;

/** Whether this is the code of a currency, ISO 4217, as this version of Node knows them. */
export function isCurrency(code: string): boolean {
  currencies ??= new Set(Intl.supportedValuesOf('currency'));
  return currencies.has(code);
}

/** By currency: making a format takes longer than rating a line. */
const DIGITS = new Map<string, number>();

/** The digits of a currency's minor unit: 2 for EUR, 0 for JPY, 3 for KWD. */
export function minorDigits(currency: string): number {
  let digits = DIGITS.get(currency);
  if (digits === undefined) {
    const format = new Intl.NumberFormat('en-US', { style: 'currency', currency });
    digits = format.resolvedOptions().maximumFractionDigits ?? 2;
    DIGITS.set(currency, digits);
  }
  return digits;
}

/** One constructor for each number of digits: a quotient is rounded by that of what is divided. */
const ROUNDING = new Map<number, typeof Exact>();

/**
 * product / per, rounded once, half to even, to so many digits. The quotient itself may have no end; it is never
 * held rounded in between.
 */
export function divideRounded(product: Decimal, per: bigint, digits: number): Decimal {
  let Rounding = ROUNDING.get(digits);
  if (!Rounding) {
    Rounding = Big();
    Rounding.strict = true;
    Rounding.DP = digits;
    Rounding.RM = Big.roundHalfEven;
    ROUNDING.set(digits, Rounding);
  }
  return decimal(new Rounding(product.toFixed()).div(new Rounding(per)).toFixed());
}

/** An amount with all digits of its currency's minor unit: `12.30`. */
export function amountText(amount: Decimal, currency: string): string {
  const digits = minorDigits(currency);
  // -0 is an amount of nothing.
  return (amount.eq(ZERO) ? ZERO : amount).toFixed(digits);
}
