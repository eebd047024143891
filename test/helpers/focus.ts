/**
 * What FOCUS 1.2 demands of a dataset, as far as it can be told from the rows; written from the specification, without
 * a look at what writes them. Cells are text, '' is null.
 */
const MANDATORY = {
  notNull: [
    ...['BilledCost', 'BillingAccountId', 'BillingCurrency', 'BillingPeriodEnd', 'BillingPeriodStart'],
    ...['ChargeCategory', 'ChargePeriodEnd', 'ChargePeriodStart', 'ContractedCost', 'EffectiveCost'],
    ...['InvoiceIssuerName', 'ListCost', 'ProviderName', 'PublisherName', 'ServiceCategory', 'ServiceName'],
  ],
  nullable: ['BillingAccountName', 'ChargeClass', 'ChargeDescription', 'PricingQuantity', 'PricingUnit'],
};
/** Others that must not be null where they are there. */
const FILLED = ['ChargeFrequency', 'ServiceSubcategory'];
/** All other columns of version 1.2. */
const OTHERS = [
  ...['AvailabilityZone', 'BillingAccountType', 'CapacityReservationId', 'CapacityReservationStatus'],
  ...['ChargeFrequency', 'CommitmentDiscountCategory', 'CommitmentDiscountId', 'CommitmentDiscountName'],
  ...['CommitmentDiscountQuantity', 'CommitmentDiscountStatus', 'CommitmentDiscountType'],
  ...['CommitmentDiscountUnit', 'ConsumedQuantity', 'ConsumedUnit', 'ContractedUnitPrice', 'InvoiceId'],
  ...['ListUnitPrice', 'PricingCategory', 'PricingCurrency', 'PricingCurrencyContractedUnitPrice'],
  ...['PricingCurrencyEffectiveCost', 'PricingCurrencyListUnitPrice', 'RegionId', 'RegionName', 'ResourceId'],
  ...['ResourceName', 'ResourceType', 'ServiceSubcategory', 'SkuId', 'SkuMeter', 'SkuPriceDetails'],
  ...['SkuPriceId', 'SubAccountId', 'SubAccountName', 'SubAccountType', 'Tags'],
];
const ALLOWED: Record<string, readonly string[]> = {
  ChargeCategory: ['Usage', 'Purchase', 'Tax', 'Credit', 'Adjustment'],
  ChargeClass: ['', 'Correction'],
  ChargeFrequency: ['One-Time', 'Recurring', 'Usage-Based'],
  PricingCategory: ['', 'Standard', 'Dynamic', 'Committed', 'Other'],
  ServiceCategory: [
    ...['AI and Machine Learning', 'Analytics', 'Business Applications', 'Compute', 'Databases'],
    ...['Developer Tools', 'Multicloud', 'Identity', 'Integration', 'Internet of Things'],
    ...['Management and Governance', 'Media', 'Migration', 'Mobile', 'Networking', 'Security', 'Storage'],
    ...['Web', 'Other'],
  ],
};
/** The subcategories of one category, by it. */
const SUBCATEGORIES: Record<string, readonly string[]> = {
  'Management and Governance': [
    ...['Architecture', 'Compliance', 'Cost Management', 'Data Governance', 'Disaster Recovery'],
    ...['Endpoint Management', 'Observability', 'Support', 'Other (Management and Governance)'],
  ],
};
const NUMERIC = /^-?(\d+(\.\d+)?|\.\d+)(E-?\d+)?$/;
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/;
/** Units of data and of counts, with a unit of time or without. */
const UNIT = /^(\d+ )?([KMGTPE]?i?B|[KMGTPE]?i?b|[A-Z][a-z]+s)(-(Hours|Days|Months)|\/(Hour|Day|Month))?$/;

/** Every rule that is broken, in words: none for a dataset that conforms. */
export function focusFaults([header = [], ...rows]: readonly string[][]): string[] {
  const faults: string[] = [];
  const known = [...MANDATORY.notNull, ...MANDATORY.nullable, ...OTHERS];
  for (const name of [...MANDATORY.notNull, ...MANDATORY.nullable])
    if (!header.includes(name)) faults.push(`${name} is not there`);
  for (const name of header)
    if (!known.includes(name) && !/^x_[A-Z][A-Za-z0-9]*$/.test(name)) faults.push(`${name} is no column`);
  if (new Set(header).size < header.length) faults.push('a column is there twice');
  const custom = header.findIndex((name) => name.startsWith('x_'));
  if (custom >= 0 && header.slice(custom).some((name) => !name.startsWith('x_')))
    faults.push('custom columns are not last');
  rows.forEach((cells, i) => {
    const row = Object.fromEntries(header.map((name, at) => [name, cells[at] ?? '']));
    if (cells.length !== header.length) faults.push(`row ${i}: has ${cells.length} cells`);
    faults.push(...rowFaults(row).map((words) => `row ${i}: ${words}`));
  });
  return faults;
}

function rowFaults(row: Record<string, string>): string[] {
  const cell = (name: string) => row[name] ?? '';
  const faults: string[] = [];
  const demand = (holds: boolean, words: string) => {
    if (!holds) faults.push(words);
  };
  for (const name of [...MANDATORY.notNull, ...FILLED.filter((one) => one in row)])
    demand(cell(name).trim() !== '', `${name} is null`);
  for (const [name, value] of Object.entries(row)) {
    if (/(Cost|Quantity|UnitPrice)$/.test(name) && value !== '')
      demand(NUMERIC.test(value), `${name} is not numeric: ${value}`);
    if (/Period(Start|End)$/.test(name))
      demand(TIME.test(value) && !Number.isNaN(Date.parse(value)), `${name} is no time: ${value}`);
    if (/Unit$/.test(name) && value !== '') demand(UNIT.test(value), `${name} is no unit: ${value}`);
    const allowed = ALLOWED[name];
    if (allowed) demand(allowed.includes(value), `${name} may not be ${value}`);
    demand(
      !/^(null|n\/a|none|not applicable)$/i.test(value) || name.startsWith('x_'),
      `${name} has a placeholder`,
    );
  }
  demand(/^[A-Z]{3}$/.test(cell('BillingCurrency')), 'BillingCurrency is no code');
  demand(
    SUBCATEGORIES[cell('ServiceCategory')]?.includes(cell('ServiceSubcategory')) ?? false,
    'ServiceSubcategory is not of its category',
  );
  for (const kind of ['Billing', 'Charge'])
    demand(cell(`${kind}PeriodStart`) < cell(`${kind}PeriodEnd`), `${kind}Period is empty`);
  const category = cell('ChargeCategory');
  const corrects = cell('ChargeClass') === 'Correction';
  const isSold = category === 'Usage' || category === 'Purchase';
  const quantities = ['PricingQuantity', 'PricingCategory', 'SkuId'].filter((name) => name in row);
  for (const name of quantities) {
    if (isSold && !corrects) demand(cell(name) !== '', `${name} is null for ${category}`);
    if (category === 'Tax') demand(cell(name) === '', `${name} is not null for a tax`);
  }
  demand(
    (cell('PricingQuantity') === '') === (cell('PricingUnit') === ''),
    'PricingUnit without its quantity',
  );
  demand(
    (cell('ConsumedQuantity') === '') === (cell('ConsumedUnit') === ''),
    'ConsumedUnit without its quantity',
  );
  if (category !== 'Usage') demand(cell('ConsumedQuantity') === '', 'ConsumedQuantity of what is no usage');
  else if (!corrects) demand(cell('ConsumedQuantity') !== '', 'ConsumedQuantity is null for usage');
  demand(
    !(category === 'Purchase' && cell('ChargeFrequency') === 'Usage-Based'),
    'ChargeFrequency of a purchase',
  );
  demand(
    !corrects || cell('ChargePeriodEnd') <= cell('BillingPeriodStart'),
    'a correction of its own period',
  );
  demand(
    corrects || cell('ChargePeriodStart') >= cell('BillingPeriodStart'),
    'an earlier period that corrects nothing',
  );
  // Without unit prices, costs of what is not calculated from other charges are those that are billed.
  if (!('ContractedUnitPrice' in row))
    demand(cell('ContractedCost') === cell('BilledCost'), 'ContractedCost');
  if (!('ListUnitPrice' in row)) demand(cell('ListCost') === cell('BilledCost'), 'ListCost');
  if (!isSold) demand(cell('EffectiveCost') === cell('BilledCost'), 'EffectiveCost');
  demand((cell('ResourceId') === '') === (cell('ResourceType') === ''), 'ResourceType without ResourceId');
  if (cell('ResourceId') === '') demand(cell('ResourceName') === '', 'ResourceName without ResourceId');
  if (cell('Tags') !== '') demand(isKeyValue(cell('Tags')), `Tags are no keys and values: ${cell('Tags')}`);
  return faults;
}

/** A JSON object of texts, numbers, booleans and nulls. */
function isKeyValue(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    return Object.values(value).every((one) => one === null || typeof one !== 'object');
  } catch {
    return false;
  }
}
