// node plain-insert.js DIRECTORY FILE [tuned|lenient]: the engine's own INSERT … SELECT FROM file(…, JSONEachRow), in
// a process of its own. It neither validates nor meters, keeps no dead letters and does not sync to disk. By default
// it parses a million rows, then sorts and writes them as one block on one core; tuned, in blocks of a tenth of that,
// one on each core at a time. Lenient, it passes over the lines that it cannot read.

import { cpus } from 'node:os';
import { performance } from 'node:perf_hooks';
import { Session } from 'chdb';
import { COLUMNS, PLAIN_TABLE } from './plain-table.js';

/** @type {Record<string, string>} */
const SETTINGS = {
  tuned: `, max_insert_threads = ${cpus().length}, min_insert_block_size_rows = 100000`,
  lenient: ', input_format_allow_errors_ratio = 1',
};

const [directory = '', file = '', how = ''] = process.argv.slice(2);
const session = new Session(directory);
session.query('CREATE DATABASE plain');
session.query(PLAIN_TABLE);
const start = performance.now();
session.query(`
  INSERT INTO plain.events
  SELECT * FROM file('${file.replaceAll("'", "''")}', 'JSONEachRow', '${COLUMNS.replaceAll("'", "''")}')
  SETTINGS date_time_input_format = 'best_effort'${SETTINGS[how] ?? ''}`);
const work_ms = performance.now() - start;
session.close();
process.stdout.write(JSON.stringify({ work_ms }));
