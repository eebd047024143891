import type { Month } from '../period.ts';
import type { TypeQuantities } from '../plans/rate.ts';
import { type TypeFigures, typeFigures } from '../reports/type-figures.ts';
import type { Store } from '../store/store.ts';

export type { TypeFigures, TypeQuantities };

/**
 * What was metered of a month, by tenant and type, largest first.
 * @param wanted.tenantId null: all tenants
 * @param wanted.asOf as it was at this time
 * @throws InfrasageError (exit 3) where that is not known any more
 */
export function monthFigures(
  store: Store,
  { tenantId, month, asOf }: { tenantId: string | null; month: Month; asOf?: Date | undefined },
): Promise<TypeFigures[]> {
  return typeFigures(store, { tenantId, period: month.period, asOf });
}
