import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { InfrasageError } from '../errors.ts';
import { packageFile } from '../package.ts';
import { jsonText } from './json.ts';

/** The page's parts, next to the sources and shipped with the package. */
const FOLDER = packageFile('src/dashboard/');
/** Its script with all that it needs, as the build makes it. */
const SCRIPT = packageFile('dist/dashboard/report.js');
const packages = createRequire(import.meta.url);

/** How a page that was made here begins. */
export const PAGE_MARK = '<!doctype html>\n<!-- infrasage report -->\n';

/**
 * A page that needs nothing but itself: style, script and data are in it, and its policy lets it run and load nothing
 * else. Text of the data is only ever data: the page's script makes text of it, never markup.
 */
export function renderPage(data: unknown): string {
  const style = [
    readFileSync(packages.resolve('uplot/dist/uPlot.min.css'), 'utf8'),
    readFileSync(new URL('dashboard.css', FOLDER), 'utf8'),
    readFileSync(new URL('report.css', FOLDER), 'utf8'),
  ].join('\n');
  const script = builtScript();
  const icon = readFileSync(new URL('icon.svg', FOLDER), 'utf8').trim();
  // No character of it can end the element that it is in.
  const inert = jsonText(data).replaceAll('<', '\\u003c');
  const page = fill(readFileSync(new URL('report.html', FOLDER), 'utf8'), {
    'content="policy"': `content="${policy(script, style)}"`,
    '<style></style>': `<style>${style}</style>`,
    '<span></span>': icon,
    'id="data"></script>': `id="data">${inert}</script>`,
    '<script></script>': `<script>${script}</script>`,
  });
  if (!page.startsWith(PAGE_MARK)) throw new Error('the page does not begin as its mark says');
  return page;
}

/** Puts the parts in the places of the empty ones, all at once: what is in a part is no place. */
function fill(page: string, parts: Record<string, string>): string {
  const places = Object.keys(parts).map((place) => ({ place, at: page.indexOf(place) }));
  if (places.some(({ at }) => at < 0)) throw new Error('the page lacks a place for one of its parts');
  let filled = '';
  let from = 0;
  for (const { place, at } of places.sort((a, b) => a.at - b.at)) {
    filled += page.slice(from, at) + parts[place];
    from = at + place.length;
  }
  return filled + page.slice(from);
}

function builtScript(): string {
  try {
    return readFileSync(SCRIPT, 'utf8');
  } catch (cause) {
    throw new InfrasageError('the script of the report page is not there', { hint: 'npm run build', cause });
  }
}

function policy(script: string, style: string): string {
  const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  return [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');
}
