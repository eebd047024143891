/** A sheet to print, as it is read from the HTML page. */
export interface ReadSheet {
  kind: string;
  name: string;
  facts: Record<string, string>;
  titles: string[];
  rows: string[][];
  totals: Record<string, string>;
  notes: string[];
}

/** The sheets of a page. */
export function readSheets(html: string): ReadSheet[] {
  return contents(html, 'article').map((sheet) => {
    const [facts = '', totals = ''] = contents(sheet, 'dl');
    return {
      kind: textOf(contents(sheet, 'p')[0]),
      name: textOf(contents(sheet, 'h1')[0]),
      ...{ facts: pairsOf(facts), totals: pairsOf(totals) },
      titles: contents(sheet, 'th').map(textOf),
      rows: contents(contents(sheet, 'tbody')[0] ?? '', 'tr').map((row) => contents(row, 'td').map(textOf)),
      notes: contents(sheet, 'li').map(textOf),
    };
  });
}

/** The tags of a page, with their attributes, without what is in the style. */
export function tagsOf(html: string): { tag: string; attributes: string[] }[] {
  return [...html.replace(/<style>[\s\S]*?<\/style>/, '').matchAll(/<([a-z][^\s>]*)([^>]*)>/g)].map(
    ([, tag = '', rest = '']) => ({
      tag,
      attributes: [...rest.matchAll(/([a-z-]+)="[^"]*"/g)].map(([, name = '']) => name),
    }),
  );
}

function contents(html: string, tag: string): string[] {
  return [...html.matchAll(new RegExp(`<${tag}(?: [^>]*)?>(.*?)</${tag}>`, 'gs'))].map(
    ([, text = '']) => text,
  );
}

function pairsOf(list: string): Record<string, string> {
  const values = contents(list, 'dd').map(textOf);
  return Object.fromEntries(contents(list, 'dt').map((name, i) => [textOf(name), values[i] ?? '']));
}

const ENTITIES: Record<string, string> = { lt: '<', gt: '>', quot: '"', '#39': "'", amp: '&' };

function textOf(html = ''): string {
  return html.replace(/&(#?\w+);/g, (_, name: string) => ENTITIES[name] ?? `&${name};`);
}
