import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbedded } from '../../src/store/embedded.ts';
import { openServer } from '../../src/store/server/open-server.ts';
import { connectShared } from '../../src/store/socket-client.ts';
import { shareStore } from '../../src/store/socket-server.ts';
import type { Store } from '../../src/store/store.ts';
import { addressOf, CLUSTER, ClickHouseServer, startCluster } from './clickhouse-server.ts';
import { removeFolder } from './kept-engine.ts';
import { initialised } from './template.ts';

/** One data that stores are opened on, for one test file. */
export interface Ground {
  /** Opens a store as a process of its own would, where the engine allows several; else the one there is. */
  open(): Promise<Store>;
  /** Closes what was opened, and removes the data. */
  remove(): Promise<void>;
}

/** Every kind of store there is, by name. */
export const GROUNDS: readonly [name: string, () => Promise<Ground>][] = [
  ['embedded', embedded],
  ['shared over a socket', shared],
  ['of a ClickHouse server', server],
  ['of a cluster of two', cluster],
];

async function embedded(): Promise<Ground> {
  const folder = mkdtempSync(join(tmpdir(), 'infrasage-store-'));
  const dataDir = join(folder, 'data');
  initialised(dataDir);
  const store = await openEmbedded({ dataDir, database: 'infrasage', command: 'test' });
  return {
    open: async () => store,
    async remove() {
      await store.close();
      removeFolder(folder);
    },
  };
}

async function shared(): Promise<Ground> {
  const folder = mkdtempSync(join(tmpdir(), 'infrasage-store-'));
  const where = { dataDir: join(folder, 'data'), database: 'infrasage' };
  initialised(where.dataDir);
  const store = await openEmbedded({ ...where, command: 'test', shares: true });
  const sharing = await shareStore(store, where);
  const opened: Store[] = [];
  return {
    async open() {
      const client = await connectShared(where);
      if (!client) throw new Error('nobody shares the store');
      opened.push(client);
      return client;
    },
    async remove() {
      await Promise.all(opened.map((client) => client.close()));
      await sharing.close();
      await store.close();
      removeFolder(folder);
    },
  };
}

async function server(): Promise<Ground> {
  return onServers([await ClickHouseServer.start()]);
}

/** Each store is opened on another of its nodes. */
async function cluster(): Promise<Ground> {
  return onServers(await startCluster());
}

function onServers(servers: readonly ClickHouseServer[]): Ground {
  const folder = mkdtempSync(join(tmpdir(), 'infrasage-store-'));
  const opened: Store[] = [];
  return {
    async open() {
      const asked = servers[opened.length % servers.length];
      if (!asked) throw new Error('no server');
      const store = await openServer({
        address: addressOf(asked.url),
        database: 'infrasage',
        dataDir: folder,
        onWait: () => {},
        ...(servers.length > 1 &&
          opened.length === 0 && { cluster: { name: CLUSTER, nodes: servers.map(({ url }) => url) } }),
      });
      opened.push(store);
      return store;
    },
    async remove() {
      await Promise.all(opened.map((store) => store.close()));
      await Promise.all(servers.map((one) => one.remove()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
