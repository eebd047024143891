/** A line of conversation for a stream, with its end: on a terminal broken between words. */
export async function message(
  { isTTY, columns = 80 }: { isTTY?: boolean; columns?: number },
  line: string,
): Promise<string> {
  if (!isTTY) return `${line}\n`;
  const { wrapped } = await import('./width.ts');
  return `${wrapped(line, columns).join('\n')}\n`;
}
