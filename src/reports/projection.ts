/** A table, and what makes it grow. */
export interface Grower {
  table: string;
  /** On disk now. */
  bytes: number;
  /** Rows, or events, that come in a day, and what each takes. */
  unitsPerDay: number;
  bytesPerUnit: number;
  /** Days that rows are kept after they came; null for good. */
  term: number | null;
  /** Of a table with a term: how many of its rows came less than a day ago, less than two, and so on. */
  ages: readonly number[];
}

/** The bytes of a table in so many days, if as much comes each day as came lately. Of rows with a term, those that are younger. */
export function sizeOf({ bytes, unitsPerDay, bytesPerUnit, term, ages }: Grower, days: number): number {
  if (days === 0) return bytes;
  if (term === null) return bytes + unitsPerDay * bytesPerUnit * days;
  const staying = term - days;
  let old = 0;
  for (let age = 0; age < ages.length && age < staying; age++) old += ages[age] ?? 0;
  return bytesPerUnit * (unitsPerDay * Math.min(days, term) + old);
}

/** A hundred years: whatever takes longer is given as so many days. */
const LONGEST_DAYS = 36_500;

/**
 * In how many whole days so many bytes more are taken than now, up to a hundred years.
 * @returns null where nothing grows
 */
export function daysUntil(growers: readonly Grower[], free: number): number | null {
  const size = (days: number) => growers.reduce((sum, grower) => sum + sizeOf(grower, days), 0);
  if (growers.every(({ unitsPerDay, bytesPerUnit }) => unitsPerDay * bytesPerUnit === 0)) return null;
  if (free <= 0) return 0;
  const most = size(0) + free;
  // While rows of a term go, what comes and what goes is not even: each day is looked at. After that it is a line.
  const even = Math.min(LONGEST_DAYS, Math.max(0, ...growers.map(({ term }) => Math.ceil(term ?? 0))));
  for (let day = 1; day <= even; day++) {
    if (size(day) > most) return day - 1;
  }
  const perDay = growers
    .filter(({ term }) => term === null)
    .reduce((sum, { unitsPerDay, bytesPerUnit }) => sum + unitsPerDay * bytesPerUnit, 0);
  return Math.min(LONGEST_DAYS, even + Math.floor((most - size(even)) / perDay));
}
