import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { packageFile } from '../../package.ts';
import type { App } from '../app.ts';

/** The dashboard's files, next to the sources and shipped with the package. */
const FOLDER = packageFile('src/dashboard/');
const packages = createRequire(import.meta.url);

const TYPES = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

const own = (name: string) => new URL(name, FOLDER);

/** Everything that is served, by its path: no part of a request ever becomes the name of a file. */
const FILES: readonly { path: string; type: keyof typeof TYPES; file: URL | string }[] = [
  { path: '/', type: 'html', file: own('index.html') },
  { path: '/assets/dashboard.css', type: 'css', file: own('dashboard.css') },
  { path: '/assets/icon.svg', type: 'svg', file: own('icon.svg') },
  ...['api', 'chart', 'dashboard', 'dom', 'format', 'json', 'panels', 'periods', 'quota', 'session'].map(
    (name) => ({
      path: `/assets/${name}.js`,
      type: 'js' as const,
      file: own(`${name}.js`),
    }),
  ),
  { path: '/assets/uPlot.esm.js', type: 'js', file: packages.resolve('uplot/dist/uPlot.esm.js') },
  { path: '/assets/uPlot.min.css', type: 'css', file: packages.resolve('uplot/dist/uPlot.min.css') },
];

/** The paths of the dashboard. */
export const DASHBOARD_PATHS = FILES.map(({ path }) => path);

/**
 * Scripts, styles and data from this server alone; no script ever comes from text, and no form is ever sent, so
 * that a token that was typed in cannot end up in an address.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/**
 * The dashboard: files without a secret, that ask the API with the token of whoever looks. They are read once;
 * a browser keeps them and asks whether they have changed.
 */
export function dashboardRoutes(app: App): void {
  for (const { path, type, file } of FILES) {
    const content = readFileSync(file);
    const etag = `"${createHash('sha256').update(content).digest('base64url')}"`;
    app.get(path, { config: { access: 'public' }, schema: { hide: true } }, async (request, reply) => {
      reply.headers({
        'content-security-policy': POLICY,
        'cross-origin-resource-policy': 'same-origin',
        'cache-control': 'no-cache',
        etag,
      });
      if (request.headers['if-none-match'] === etag) return reply.code(304).send();
      return reply.type(TYPES[type]).send(content);
    });
  }
}
