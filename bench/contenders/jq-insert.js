// node jq-insert.js DIRECTORY < LINES: the second half of a pipe that jq begins: what jq let through, into the
// engine's own INSERT, which passes over the lines that it cannot read.

import { performance } from 'node:perf_hooks';
import { Session } from 'chdb';
import { COLUMNS, PLAIN_TABLE, STORED } from './plain-table.js';

const [directory = ''] = process.argv.slice(2);
const session = new Session(directory);
session.query('CREATE DATABASE plain');
session.query(PLAIN_TABLE);
const start = performance.now();
session.query(`
  INSERT INTO plain.events
  SELECT * FROM file('/dev/stdin', 'JSONEachRow', '${COLUMNS.replaceAll("'", "''")}')
  SETTINGS date_time_input_format = 'best_effort', input_format_allow_errors_ratio = 1`);
const work_ms = performance.now() - start;
const [rows] = session.query(STORED).split('\t').map(Number);
session.close();
process.stdout.write(JSON.stringify({ rows, work_ms }));
