/** Whether a header Accept prefers CSV to JSON. What it does not name at all is no preference: JSON. */
export function prefersCsv(accept = ''): boolean {
  const ranges = accept.split(',').map((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const q = parameters.find((parameter) => parameter.startsWith('q='));
    return { type, quality: q === undefined ? 1 : Number(q.slice(2)) || 0 };
  });
  const quality = (...types: string[]) =>
    types.map((type) => ranges.find((range) => range.type === type)?.quality).find((q) => q !== undefined) ??
    0;
  const csv = ranges.find((range) => range.type === 'text/csv')?.quality ?? 0;
  return csv > 0 && csv >= quality('application/json', 'application/*', '*/*');
}
