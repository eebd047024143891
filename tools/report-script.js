// One script of the report page's modules, as the build makes it: the page holds all that it needs.
import { fileURLToPath } from 'node:url';
import { build } from 'rolldown';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

await build({
  input: path('src/dashboard/report.js'),
  platform: 'browser',
  resolve: { alias: { '/assets/uPlot.esm.js': 'uplot' } },
  output: { file: path('dist/dashboard/report.js'), format: 'iife', minify: true },
});
