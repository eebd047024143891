// Holds a data directory and shares it, until it is told to stop: node share.js DIR [DATABASE]
import { openEmbedded } from '../../dist/store/embedded.js';
import { shareStore } from '../../dist/store/socket-server.js';

const [dataDir, database = 'infrasage'] = process.argv.slice(2);
const store = await openEmbedded({ dataDir, database, command: 'serve', shares: true });
const shared = await shareStore(store, { dataDir });
process.once('SIGTERM', async () => {
  await shared.close();
  await store.close();
  process.exit();
});
console.log('shared');
