/** A CSV document (RFC 4180) as rows of cells. */
export function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let at = 0;
  while (at < text.length) {
    let cell = '';
    if (text[at] === '"') {
      for (at++; text[at] !== '"' || text[at + 1] === '"'; at++) {
        if (at >= text.length) throw new Error('a quoted cell does not end');
        if (text[at] === '"') at++;
        cell += text[at];
      }
      at++;
    } else {
      const end = at + (/[,\n]|$/.exec(text.slice(at))?.index ?? 0);
      cell = text.slice(at, end);
      at = end;
    }
    row.push(cell);
    if (text[at] !== ',') {
      rows.push(row);
      row = [];
    }
    at++;
  }
  return rows;
}

/** A Markdown table as rows of cells, the header first; cells as they are written. */
export function parseMarkdown(text: string): {
  header: string[];
  align: ('left' | 'right')[];
  rows: string[][];
} {
  const [header = [], rule = [], ...rows] = text
    .trimEnd()
    .split('\n')
    .map((line) =>
      line
        .replace(/^\| | \|$/g, '')
        .split(/ \| /)
        .map((cell) => cell.trim()),
    );
  return { header, align: rule.map((cell) => (/^-+:$/.test(cell) ? 'right' : 'left')), rows };
}

/** What a terminal would act on: control characters but for line feeds, and bidirectional controls. */
export function activeCharacters(text: string): string[] {
  return [...text]
    .filter((character) => character !== '\n' && /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/u.test(character))
    .map((character) => `U+${character.codePointAt(0)?.toString(16)}`);
}
