import { run } from '../../dist/cli.js';
import { DatabaseStore } from '../../dist/store/embedded-database.js';

// Loaded into a process of the program (node --import) and run in its place, as what the program is built into cannot be
// changed from outside: it is killed before, or after, the n-th insert into a table of billing. KILL_AT=2,after
const [nth, when] = (process.env.KILL_AT ?? '').split(',');
const { insert } = DatabaseStore.prototype;
let inserts = 0;

DatabaseStore.prototype.insert = async function (table, ...rows) {
  if (!table.startsWith('infrasage_bill')) return insert.call(this, table, ...rows);
  inserts += 1;
  if (inserts === Number(nth) && when === 'before') process.kill(process.pid, 'SIGKILL');
  await insert.call(this, table, ...rows);
  if (inserts === Number(nth) && when === 'after') process.kill(process.pid, 'SIGKILL');
};

process.exit(await run(process.argv.slice(2)));
