import { usageError } from '../errors.ts';
import { type Decimal, decimal, type InCurrency, isCurrency, minorDigits } from '../plans/money.ts';

/** A price for each GB stored and month. */
export interface StoragePrice extends InCurrency {
  price: Decimal;
}

/**
 * A storage price as it was given; undefined where none was.
 * @param names what each is called where it is given
 * @throws InfrasageError (exit 2) where it is no price, or not known in which currency
 */
export function parseStoragePrice(
  text: string | undefined,
  currency: string | undefined,
  names: { price: string; currency: string },
): StoragePrice | undefined {
  if (text === undefined) {
    if (currency === undefined) return undefined;
    throw usageError(`${names.currency} goes with ${names.price}`, 'a price plan has a currency of its own');
  }
  if (!/^\d{1,12}(\.\d{1,12})?$/.test(text)) {
    throw usageError(
      `${names.price} ${text} is not a price`,
      'write it like 0.35: at most 12 digits before and after the point',
    );
  }
  if (currency === undefined)
    throw usageError(`${names.price} needs a currency`, `add ${names.currency}, like EUR (ISO 4217)`);
  if (!isCurrency(currency))
    throw usageError(`${names.currency} ${currency} is not a currency`, 'write its code like EUR (ISO 4217)');
  return { price: decimal(text), currency, digits: minorDigits(currency) };
}
