import Big from 'big.js';
import { CURRENCIES } from './currencies.ts';

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

/** Whether something may be billed in it: a code of ISO 4217. */
export function isCurrency(code: string): boolean {
  return CURRENCIES.has(code);
}

/**
 * The digits of a currency's minor unit by ISO 4217: 2 for EUR and HUF, 0 for JPY, 3 for KWD; 2 for a code that is not
 * there any more. What is closed has its own, kept with it.
 */
export function minorDigits(currency: string): number {
  return CURRENCIES.get(currency) ?? 2;
}

/** The digits that an amount has after its point. */
export function decimalsOf(amount: Decimal): number {
  return amount.toFixed().split('.')[1]?.length ?? 0;
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

/** What amounts are in: a plan, an invoice, a bill. */
export interface InCurrency {
  /** ISO 4217. */
  currency: string;
  /** Of its minor unit. */
  digits: number;
}

/** An amount with all digits of its currency's minor unit: `12.30`. */
export function amountText(amount: Decimal, { digits }: Pick<InCurrency, 'digits'>): string {
  // -0 is an amount of nothing.
  return (amount.eq(ZERO) ? ZERO : amount).toFixed(digits);
}

/** A unit price in full, with the digits of the minor unit at least. */
export function priceText(price: Decimal, { digits }: Pick<InCurrency, 'digits'>): string {
  return price.toFixed(Math.max(decimalsOf(price), digits));
}
