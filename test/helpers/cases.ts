/** Cases for test.each with '%s', which prints the whole name and no quotes. */
export function named<Case extends { what: string }>(cases: readonly Case[]): [name: string, Case][] {
  return cases.map((one) => [one.what, one]);
}
