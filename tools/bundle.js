// What is run of the build, in few files: the program, and the script of the report page.
//
// As the compiler writes it, a report starts with some 350 files of this package and of those it uses. In few, `usage`
// took 0.19 of 0.81 CPU-seconds less; with what many commands need in one file of its own, another 0.04.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'rolldown';

/** What nearly every command needs; other packages are found where they are installed, when they are needed. */
const BUNDLED = [
  ...['@clickhouse/client', '@clickhouse/client-common', 'big.js', 'chalk', 'commander'],
  ...['lossless-json', 'ms', 'zod'],
];
/** In how many commands a module is that is in the file of what they have in common. */
const COMMON = 6;

const path = (/** @type {string} */ name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

/** @satisfies {import('rolldown').InputOptions} */
const program = {
  input: path('dist/cli.js'),
  platform: 'node',
  external: (/** @type {string} */ id) => /^[a-z@]/.test(id) && !BUNDLED.includes(packageOf(id)),
  // What the entry needs is in its file, and other files take it from there.
  preserveEntrySignatures: 'allow-extension',
  checks: { ineffectiveDynamicImport: false },
};

/** What --help needs too: it is to load nothing else. */
const { output } = await build({ ...program, write: false });
const inEntry = new Set(
  output.flatMap((file) => (file.type === 'chunk' && file.isEntry ? file.moduleIds : [])),
);

await build({
  ...program,
  output: {
    dir: path('dist/program'),
    cleanDir: true,
    format: 'esm',
    chunkFileNames: '[name].js',
    comments: { legal: true, annotation: false, jsdoc: false },
    codeSplitting: {
      includeDependenciesRecursively: false,
      groups: [{ name: 'common', minShareCount: COMMON, test: (id) => !inEntry.has(id) }],
    },
  },
});
writeFileSync(path('dist/program/LICENSES'), BUNDLED.map(licenseOf).join('\n'));

// The page holds all that it needs.
await build({
  input: path('src/dashboard/report.js'),
  platform: 'browser',
  resolve: { alias: { '/assets/uPlot.esm.js': 'uplot' } },
  output: { file: path('dist/dashboard/report.js'), format: 'iife', minify: true },
});

/** @param {string} id */
function packageOf(id) {
  return id
    .split('/')
    .slice(0, id.startsWith('@') ? 2 : 1)
    .join('/');
}

/** @param {string} name */
function licenseOf(name) {
  const folder = path(`node_modules/${name}`);
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} comes without its license`);
  return `${name}\n\n${readFileSync(`${folder}/${file}`, 'utf8')}`;
}
