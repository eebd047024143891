// node one-query.js DIRECTORY SQL: opens the engine on a data directory, runs one query, and prints what it says.

import { Session } from 'chdb';

const [directory, sql = ''] = process.argv.slice(2);
const session = new Session(directory);
process.stdout.write(session.query(sql, 'PrettyCompact'));
session.close();
