import { z } from 'zod';
import { ATTRIBUTE, type GROUPINGS } from '../../reports/grouping.ts';

/** Longest key of an attribute in a query, characters. */
const LONGEST_KEY = 1_024;

/** The parameter group_by: one of these, or an attribute. */
export function groupByQuery(names: readonly (typeof GROUPINGS)[number][]) {
  const attribute = z
    .string()
    .startsWith(ATTRIBUTE)
    .max(ATTRIBUTE.length + LONGEST_KEY);
  return z.union([z.enum(names), attribute], {
    error: `is one of ${names.join(', ')}, or ${ATTRIBUTE}KEY, such as ${ATTRIBUTE}team`,
  });
}
