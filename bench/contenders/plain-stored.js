// node plain-stored.js DIRECTORY: what a contender has left in its table of events, once its parts are merged: rows,
// and bytes on disk. It is not part of what is measured.

import { Session } from 'chdb';

const session = new Session(process.argv[2]);
session.query('OPTIMIZE TABLE plain.events FINAL');
const answer = session.query(
  `SELECT sum(rows), sum(bytes_on_disk) FROM system.parts
  WHERE active AND database = 'plain' AND table = 'events'`,
  'TSV',
);
session.close();
const [rows, stored_bytes] = answer.split('\t').map(Number);
process.stdout.write(JSON.stringify({ rows, stored_bytes }));
