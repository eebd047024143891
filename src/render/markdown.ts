import { markdownTable } from 'markdown-table';
import type { Cell, Report } from './report.ts';
import { printable } from './text.ts';

/** A GitHub-flavoured Markdown table; numbers plain and right-aligned, text inert. */
export function renderMarkdown(report: Report): string {
  const header = report.columns.map((column) => inert(column.title));
  const rows = report.rows.map((row) => report.columns.map((column) => inert(row[column.key] ?? null)));
  const align = report.columns.map((column) => (column.kind === 'text' ? 'l' : 'r'));
  return `${markdownTable([header, ...rows], { align })}\n`;
}

/** Text that Markdown renders as it is: no markup, no HTML, no links. */
function inert(value: Cell): string {
  if (value === null) return '';
  if (typeof value !== 'string') return String(value);
  return printable(value).replace(/[\\`*_{}[\]<>|#!~&]/g, (c) => `\\${c}`);
}
