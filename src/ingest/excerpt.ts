const FOUND_LENGTH = 80;

/** A value of JSON as it was sent, as far as it fits. */
export function shown(value: unknown): string {
  return value === undefined ? 'nothing' : excerpt(JSON.stringify(value));
}

/** The start of a text, at most 80 characters, with what a terminal would act on spelled out. */
export function excerpt(text: string): string {
  let kept = '';
  for (const character of text) {
    const piece = /[\p{C}\p{Zl}\p{Zp}]/u.test(character)
      ? `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
      : character;
    if (kept.length + piece.length >= FOUND_LENGTH) {
      return `${kept}…`;
    }
    kept += piece;
  }
  return kept;
}
