import { inflateSync } from 'node:zlib';

/**
 * The text of a PDF as pdfkit writes it: of each page its lines from the top, and of a line its pieces from the left,
 * as a reader would tell them apart: what follows without a gap is one piece.
 * @throws Error where text is not on the paper as a whole
 */
export function pdfPages(pdf: Buffer): string[][][] {
  const objects = objectsOf(pdf);
  const fonts = new Map<string, Font>();
  const pages: string[][][] = [];
  for (const { head } of objects.values()) {
    if (!/\/Type \/Page\b/.test(head)) continue;
    const resources = objects.get(numberAfter(head, 'Resources'))?.head ?? '';
    for (const [, name = '', font = ''] of resources.matchAll(/\/(F\d+) (\d+) 0 R/g)) {
      const { head: its = '' } = objects.get(font) ?? {};
      const [, signs = ''] = /\/DescendantFonts \[(\d+) 0 R\]/.exec(its) ?? [];
      const [, widths = ''] = /\/W \[0 \[([^\]]*)\]/.exec(objects.get(signs)?.head ?? '') ?? [];
      fonts.set(name, {
        meanings: meaningsOf(objects.get(numberAfter(its, 'ToUnicode'))?.stream ?? ''),
        widths: widths.trim().split(/\s+/).map(Number),
      });
    }
    const content = objects.get(numberAfter(head, 'Contents'))?.stream ?? '';
    const pieces = placed(content, fonts);
    const [, width = '', height = ''] = /\/MediaBox \[0 0 (\S+) (\S+)\]/.exec(head) ?? [];
    const cut = pieces.find(({ x, end, y }) => x < 0 || end > Number(width) || y < 0 || y > Number(height));
    if (cut) throw new Error(`beyond the paper: ${cut.text}`);
    pages.push(linesOf(pieces));
  }
  return pages;
}

/** What its signs mean, and how wide they are in thousandths of its size. */
interface Font {
  meanings: ReadonlyMap<number, string>;
  widths: readonly number[];
}

interface Piece {
  x: number;
  /** Where it ends. */
  end: number;
  y: number;
  text: string;
}

function objectsOf(pdf: Buffer): Map<string, { head: string; stream: string }> {
  const objects = new Map<string, { head: string; stream: string }>();
  const all = pdf.toString('latin1');
  for (const { 1: number = '', 2: body = '' } of all.matchAll(/(\d+) 0 obj\n([\s\S]*?)\nendobj/g)) {
    const at = body.indexOf('stream\n');
    const head = at < 0 ? body : body.slice(0, at);
    const bytes = Buffer.from(at < 0 ? '' : body.slice(at + 7, body.lastIndexOf('\nendstream')), 'latin1');
    const isText = head.includes('/FlateDecode') && !/\/(Subtype|Length1)/.test(head);
    objects.set(number, { head, stream: isText ? inflateSync(bytes).toString('latin1') : '' });
  }
  return objects;
}

function numberAfter(head: string, key: string): string {
  return new RegExp(`/${key} (\\d+) 0 R`).exec(head)?.[1] ?? '';
}

/** What a font's signs mean, by the ranges of its ToUnicode map. */
function meaningsOf(map: string): Map<number, string> {
  const meanings = new Map<number, string>();
  for (const [, first = '', list = ''] of map.matchAll(/<([\da-f]+)> <[\da-f]+> \[([^\]]*)\]/g)) {
    [...list.matchAll(/<([\da-f ]*)>/g)].forEach(([, units = ''], i) => {
      const bytes = Buffer.from(units.replaceAll(' ', ''), 'hex').swap16();
      meanings.set(Number.parseInt(first, 16) + i, bytes.toString('utf16le'));
    });
  }
  return meanings;
}

function placed(content: string, fonts: ReadonlyMap<string, Font>): Piece[] {
  return [...content.matchAll(/BT\n([\s\S]*?)ET\n/g)].map(([, block = '']) => {
    const [, x = '', y = ''] = /1 0 0 1 (\S+) (\S+) Tm/.exec(block) ?? [];
    const [, name = '', size = ''] = /\/(F\d+) (\S+) Tf/.exec(block) ?? [];
    const { meanings, widths } = fonts.get(name) ?? { meanings: new Map<number, string>(), widths: [] };
    let text = '';
    let width = 0;
    for (const [, hex, back] of (/\[(.*)\] TJ/.exec(block)?.[1] ?? '').matchAll(/<([\da-f]+)>|(-?[\d.]+)/g)) {
      width -= Number(back ?? 0);
      for (const sign of (hex?.match(/.{4}/g) ?? []).map((digits) => Number.parseInt(digits, 16))) {
        text += meanings.get(sign) ?? '\ufffd';
        width += widths[sign] ?? 0;
      }
    }
    return { x: Number(x), end: Number(x) + (width * Number(size)) / 1000, y: Number(y), text };
  });
}

/** Points between two pieces that are not one. */
const GAP = 1;

function linesOf(pieces: readonly Piece[]): string[][] {
  const lines = new Map<number, Piece[]>();
  for (const piece of pieces) lines.set(piece.y, [...(lines.get(piece.y) ?? []), piece]);
  return [...lines]
    .sort(([a], [b]) => b - a)
    .map(([, line]) => {
      const joined: Piece[] = [];
      for (const piece of line.sort((a, b) => a.x - b.x)) {
        const last = joined.at(-1);
        if (last && piece.x - last.end < GAP) {
          joined.splice(-1, 1, { ...last, end: piece.end, text: last.text + piece.text });
        } else joined.push(piece);
      }
      return joined.map(({ text }) => text.trim());
    });
}
