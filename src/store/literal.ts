/** A string literal of nothing but escaped hexadecimal digits. */
export function quoted(text: string): string {
  return `'${Buffer.from(text, 'utf8').toString('hex').replace(/../g, '\\x$&')}'`;
}
