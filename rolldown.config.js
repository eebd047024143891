// Makes one script of the report page's modules: the page holds all that it needs.
export default {
  input: 'src/dashboard/report.js',
  platform: 'browser',
  resolve: { alias: { '/assets/uPlot.esm.js': 'uplot' } },
  output: { file: 'dist/dashboard/report.js', format: 'iife', minify: true },
};
