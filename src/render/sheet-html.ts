import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { packageFile } from '../package.ts';
import { isLong, type Paper, type Sheet } from './sheet.ts';
import { printable } from './text.ts';

/** The style of the page, next to the sources and shipped with the package. */
const STYLE = packageFile('src/dashboard/sheet.css');

/**
 * Sheets as one HTML page that needs nothing but itself, each on paper of its own. There is no script in it, and its
 * policy lets it run and load nothing. Text is escaped: none of it becomes markup.
 * @param paper what it is to be printed on; without one, whatever is in the printer
 */
export function renderSheetsHtml(sheets: readonly Sheet[], paper?: Paper): string {
  const size = paper ? `@page { size: ${paper === 'a4' ? 'A4' : 'letter'} }\n` : '';
  const style = `${size}${readFileSync(STYLE, 'utf8')}`;
  const hash = createHash('sha256').update(style).digest('base64');
  const [first] = sheets;
  const title = first
    ? `${first.kind} ${first.facts[0]?.[1] ?? ''} ${sheets.length === 1 ? first.name : ''}`
    : '';
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width">
<title>${text(title.trim())}</title>
<style>${style}</style>
</head>
<body>
${sheets.map(article).join('')}</body>
</html>
`;
}

function article({ kind, name, facts, columns, rows, totals, notes }: Sheet): string {
  const cell = (tag: 'td' | 'th', value: string, i: number) =>
    `<${tag}${tag === 'th' ? ' scope="col"' : ''}${classOf(columns[i], value)}>${text(value)}</${tag}>`;
  const row = (tag: 'td' | 'th', cells: readonly string[]) =>
    `<tr>${cells.map((value, i) => cell(tag, value, i)).join('')}</tr>\n`;
  const pairs = (all: Sheet['facts']) =>
    all.map(([what, value]) => `<dt>${text(what)}</dt><dd dir="auto">${text(value)}</dd>\n`).join('');
  const titles = columns.map(({ title }) => title);
  return `<article>
<header>
<div>
<p class="kind">${text(kind)}</p>
<h1 dir="auto">${text(name)}</h1>
</div>
<dl>
${pairs(facts)}</dl>
</header>
${rows.length === 0 ? '' : `<table>\n<thead>\n${row('th', titles)}</thead>\n<tbody>\n${rows.map((cells) => row('td', cells)).join('')}</tbody>\n</table>\n`}<dl class="totals">
${pairs(totals)}</dl>
${notes.length === 0 ? '' : `<ul>\n${notes.map((note) => `<li dir="auto">${text(note)}</li>\n`).join('')}</ul>\n`}</article>
`;
}

function classOf(column: Sheet['columns'][number] | undefined, value: string): string {
  const isText = column?.align !== 'right';
  const width = value.split(' ').some(isLong) ? 'long' : !isText || column?.whole ? 'whole' : '';
  const names = [...(isText ? [] : ['figure']), ...(width ? [width] : [])];
  return `${names.length > 0 ? ` class="${names.join(' ')}"` : ''}${isText ? ' dir="auto"' : ''}`;
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function text(value: string): string {
  return printable(value).replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}
