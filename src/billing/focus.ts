import { usageError } from '../errors.ts';
import { isoTime, parseMonth } from '../period.ts';
import { type Decimal, decimal } from '../plans/money.ts';
import { jsonText } from '../render/json.ts';
import { attributeKey, type Grouping, isAttribute } from '../reports/grouping.ts';
import { type CostRow, type Costs, type Part, type TenantCosts, weightsOf } from './costs.ts';
import { shareOut } from './shares.ts';

/**
 * The columns of FOCUS 1.2 that are written, in the order of their names: every mandatory one, and of the others those
 * that have something to say. Custom ones come last, with x_.
 */
export const FOCUS_COLUMNS = [
  ...['BilledCost', 'BillingAccountId', 'BillingAccountName', 'BillingCurrency', 'BillingPeriodEnd'],
  ...['BillingPeriodStart', 'ChargeCategory', 'ChargeClass', 'ChargeDescription', 'ChargeFrequency'],
  ...['ChargePeriodEnd', 'ChargePeriodStart', 'ConsumedQuantity', 'ConsumedUnit', 'ContractedCost'],
  ...['EffectiveCost', 'InvoiceIssuerName', 'ListCost', 'PricingCategory', 'PricingQuantity', 'PricingUnit'],
  ...['ProviderName', 'PublisherName', 'ResourceId', 'ResourceName', 'ResourceType', 'ServiceCategory'],
  ...['ServiceName', 'ServiceSubcategory', 'SkuId', 'SubAccountId', 'Tags', 'x_GroupBy', 'x_GroupKind'],
  ...['x_PlanName', 'x_PlanVersion'],
] as const;

/** null is written as nothing. Quantities and costs are decimals in full. */
export type FocusRow = Record<(typeof FOCUS_COLUMNS)[number], string | null>;

/** What InfraSage's own tags and SKUs begin with; FOCUS has it that no tag of a user's does. */
const TAG_PREFIX = 'infrasage/';

/**
 * Sees to it that a tag of a user's cannot be taken for one of InfraSage's own.
 * @throws InfrasageError (exit 2)
 */
export function refuseReservedTag(groupBy: Grouping): void {
  if (!isAttribute(groupBy) || !attributeKey(groupBy).startsWith(TAG_PREFIX)) return;
  throw usageError(
    `FOCUS reserves tags that begin with ${TAG_PREFIX}: ${groupBy} cannot be one`,
    'leave out --format focus-csv, or name another attribute',
  );
}

/** Digits of a quantity that is a share of 1. */
const SHARE_DIGITS = 12;

const CATEGORIES = {
  usage: { ChargeCategory: 'Usage', ChargeFrequency: 'Usage-Based', what: 'usage' },
  base_fee: { ChargeCategory: 'Purchase', ChargeFrequency: 'Recurring', what: 'base fee' },
  minimum: { ChargeCategory: 'Adjustment', ChargeFrequency: 'One-Time', what: 'minimum commitment' },
  adjustment: { ChargeCategory: 'Usage', ChargeFrequency: 'Usage-Based', what: 'late usage' },
} as const;

/**
 * A row for each group and part of the bill; the costs of a tenant's rows add up to its bill. What was billed for an
 * earlier month is a correction of that one.
 * @param provider who makes the bill
 */
export function focusRows(costs: Costs, provider: string): FocusRow[] {
  return costs.tenants.flatMap((tenant) =>
    tenant.bill.parts.flatMap((part, at) => {
      const portions = part.kind === 'base_fee' ? portionsOf(tenant, costs) : [];
      return tenant.rows.map((row, i) =>
        focusRow(row, { costs, tenant, part, provider, cost: row.shares[at], portion: portions[i] }),
      );
    }),
  );
}

function focusRow(
  row: CostRow,
  {
    costs,
    tenant: { bill },
    part,
    provider,
    cost = decimal(0n),
    portion,
  }: {
    costs: Costs;
    tenant: TenantCosts;
    part: Part;
    provider: string;
    cost: Decimal | undefined;
    portion: Decimal | undefined;
  },
): FocusRow {
  const { groupBy, weight, month } = costs;
  const { what, ...category } = CATEGORIES[part.kind];
  const charged = parseMonth(part.month, month.period.start).period;
  const amount = (cost.eq(decimal(0n)) ? decimal(0n) : cost).toFixed();
  const consumed = part.kind === 'usage';
  const quantity = weight === 'events' ? String(row.events) : gigabytes(row.bytes);
  const unit = weight === 'events' ? 'Events' : 'GB';
  const pricing = consumed
    ? bill.basis.kind === 'storage_price'
      ? { PricingQuantity: gigabytes(row.bytes), PricingUnit: 'GB-Months' }
      : { PricingQuantity: quantity, PricingUnit: unit }
    : { PricingQuantity: portion?.toFixed() ?? null, PricingUnit: portion ? 'Units' : null };
  const isSku = consumed || part.kind === 'base_fee';
  return {
    ...{ BilledCost: amount, EffectiveCost: amount, ListCost: amount, ContractedCost: amount },
    ...{ BillingAccountId: bill.tenant, BillingAccountName: null, BillingCurrency: bill.currency },
    ...{ BillingPeriodStart: isoTime(month.period.start), BillingPeriodEnd: isoTime(month.period.end) },
    ...{ ChargePeriodStart: isoTime(charged.start), ChargePeriodEnd: isoTime(charged.end) },
    ...category,
    ChargeClass: part.kind === 'adjustment' ? 'Correction' : null,
    ChargeDescription: `${what} of ${part.month}, ${groupBy}=${row.key ?? `(${row.kind})`}, shared by ${weight}`,
    ConsumedQuantity: consumed ? quantity : null,
    ConsumedUnit: consumed ? unit : null,
    ...pricing,
    PricingCategory: isSku ? 'Standard' : null,
    ...{ ProviderName: provider, PublisherName: provider, InvoiceIssuerName: provider },
    ...resourceOf(row, costs),
    ServiceCategory: 'Management and Governance',
    ServiceSubcategory: 'Observability',
    ServiceName: 'InfraSage Telemetry',
    SkuId: isSku ? skuOf(bill.basis, part) : null,
    SubAccountId: null,
    Tags: tagsOf(row, costs),
    ...{ x_GroupBy: groupBy, x_GroupKind: row.kind },
    ...planOf(bill.basis),
  };
}

/** What is sold, whatever contract says at which price: that is the plan, which has columns of its own. */
function skuOf({ kind: basis }: TenantCosts['bill']['basis'], { kind }: Part): string {
  return `${TAG_PREFIX}${basis === 'plan' ? kind : 'storage'}`;
}

function planOf(basis: TenantCosts['bill']['basis']) {
  if (basis.kind !== 'plan') return { x_PlanName: null, x_PlanVersion: null };
  return { x_PlanName: basis.name, x_PlanVersion: basis.version === null ? null : String(basis.version) };
}

/** Of 10^9 bytes. */
function gigabytes(bytes: bigint): string {
  return decimal(bytes).times(decimal('1e-9')).toFixed();
}

/** A service that sends telemetry is a resource; other groups are tags. */
function resourceOf({ key }: CostRow, { groupBy }: Costs) {
  const isService = groupBy === 'service_id' && key !== null;
  return {
    ResourceId: isService ? key : null,
    ResourceName: null,
    ResourceType: isService ? 'Service' : null,
  };
}

/** Attributes are tags of the user's own; what is no attribute has a prefix. */
function tagsOf({ key }: CostRow, { groupBy }: Costs): string | null {
  if (key === null || groupBy === 'service_id') return null;
  // A key such as __proto__ is one like all others.
  const tags = new Map([[isAttribute(groupBy) ? attributeKey(groupBy) : `${TAG_PREFIX}${groupBy}`, key]]);
  return jsonText(Object.fromEntries(tags));
}

/** What of a purchase falls to each group: shares of 1 that add up to it. */
function portionsOf({ rows }: TenantCosts, { weight }: Costs): Decimal[] {
  const shares = shareOut(10n ** BigInt(SHARE_DIGITS), weightsOf(rows, weight));
  return shares.map((share) => decimal(share).times(decimal(`1e-${SHARE_DIGITS}`)));
}
