import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliResult, withDataDir } from './helpers/cli.ts';
import { CLUSTER, ClickHouseServer, startCluster } from './helpers/clickhouse-server.ts';
import { expectFigures, expectVerified, monthsOfEvents, runSeed, seeded } from './helpers/crash.ts';
import { type Fault, TcpProxy } from './helpers/tcp-proxy.ts';

/** Kills of the server, and as many cut connections; npm run test:server-crash asks for 100. */
const TIMES = Number(process.env.INFRASAGE_SERVER_CRASHES ?? 3);
const TIME = TIMES * 20_000 + 240_000;
/** At most so many in one run of ingest. */
const IN_ONE_RUN = 4;
/** Some 20 batches over four months. */
const EVENTS = 5_000;
const SMALL_BATCHES = ['--batch-bytes', '60000', '--max-line', '20000'];

/** Where it is ingested. */
interface Target {
  /** What commands go to. */
  url: string;
  /** All of the servers that have the data; the first can be asked for everything. */
  servers: readonly ClickHouseServer[];
  /** Arguments of `init`. */
  init?: readonly string[];
  /** Goes on beside it; returns how often something happened, which is at most `most`. */
  beside: (isOver: () => boolean, most: number) => Promise<number>;
}

/** Ingests while something goes on beside it, in a database of its own, until that has happened often enough. */
async function ingestUnder({ url, servers, init = [], beside }: Target, seed: number): Promise<number> {
  let happened = 0;
  for (let round = 0; happened < TIMES; round++) {
    happened += await withDataDir(async (box) => {
      const database = `crash_${seed}_${round}`;
      const env = { INFRASAGE_CLICKHOUSE_URL: url, INFRASAGE_DATABASE: database };
      const { path, truth } = monthsOfEvents(box.folder, EVENTS, seed + round);
      await box.json(['init', ...init], { env });
      let result: CliResult | undefined;
      const [, times] = await Promise.all([
        box.run(['ingest', ...SMALL_BATCHES, path, '--json'], { env }).then((done) => {
          result = done;
        }),
        beside(() => result !== undefined, Math.min(IN_ONE_RUN, TIMES - happened)),
      ]);
      expect(result?.stderr ?? '').not.toContain('infrasage:');
      expect(result?.status).toBe(0);
      expect(JSON.parse(result?.stdout ?? '')).toMatchObject({
        lines: truth.lines,
        accepted: truth.accepted,
        rejected: truth.rejected,
        bytes_received: truth.bytesReceived,
      });
      await expectVerified(box, env);
      const [first] = servers;
      if (!first) throw new Error('no server');
      await expectFigures((sql) => first.sql(sql), truth, database);
      await Promise.all(servers.map((server) => server.sql(`DROP DATABASE ${database} SYNC`)));
      return times;
    });
  }
  return happened;
}

/** Starts a server again that has ended by itself, or says that it is about to, as a service manager does. */
async function revive(server: ClickHouseServer): Promise<void> {
  if (server.runs) {
    const failure = await server.sql('SELECT 1').then(() => '', String);
    if (!failure.includes('shutting down due to a fatal error')) return;
    await server.kill();
  }
  await server.start();
}

/** Kills one of some servers now and then, and starts it again, as well as one that has ended by itself. */
function kills(servers: readonly ClickHouseServer[], random: () => number): Target['beside'] {
  return async (isOver, most) => {
    let killed = 0;
    while (killed < most) {
      await setTimeout(random() * 800);
      if (isOver()) return killed;
      const server = servers[Math.floor(random() * servers.length)];
      await server?.kill();
      killed += 1;
      await setTimeout(random() * 300);
      await server?.start();
    }
    while (!isOver()) {
      for (const server of servers) await revive(server);
      await setTimeout(100);
    }
    return killed;
  };
}

describe('ingest on a ClickHouse server', () => {
  let server: ClickHouseServer;
  beforeAll(async () => {
    server = await ClickHouseServer.start();
  });
  afterAll(() => server.remove());

  it(
    `finishes by itself and is exact through ${TIMES} kills of the server`,
    async () => {
      const seed = runSeed();
      console.log(`server kills: seed ${seed} (INFRASAGE_SEED=${seed} repeats it)`);
      const servers = [server];
      const beside = kills(servers, seeded(seed));
      expect(await ingestUnder({ url: server.url, servers, beside }, seed)).toBeGreaterThanOrEqual(TIMES);
    },
    TIME,
  );

  it(
    `finishes by itself and is exact through ${TIMES} cut connections`,
    async () => {
      const seed = runSeed();
      const random = seeded(seed);
      console.log(`cut connections: seed ${seed} (INFRASAGE_SEED=${seed} repeats it)`);
      const pick = <T>(all: readonly T[]) => all[Math.floor(random() * all.length)] as T;
      /** Every other one hits a batch, before the server has it, while it works on it, and after. */
      const fault = (): Fault => ({
        at: pick(['request', 'sent', 'done', 'answer'] as const),
        how: pick(['cut', 'cut', 'half-close', 50] as const),
        bytes: Math.floor(random() * 2_000),
        ...(random() < 0.5 && { on: /query_id=[0-9a-f]{64}%23/ }),
      });
      const proxy = await TcpProxy.start({ to: server.httpPort });
      try {
        const target: Target = {
          url: proxy.url,
          servers: [server],
          beside: async (isOver, most) => {
            const before = proxy.struck;
            for (let i = 0; i < most; i++) {
              proxy.arm(fault());
              for (let looks = 1; proxy.struck === before + i && !isOver(); looks++) {
                await setTimeout(5);
                if (looks % 50 === 0) await revive(server);
              }
              await setTimeout(random() * 200);
            }
            proxy.disarm();
            const struck = proxy.struck - before;
            while (!isOver()) {
              await revive(server);
              await setTimeout(100);
            }
            return struck;
          },
        };
        expect(await ingestUnder(target, seed)).toBeGreaterThanOrEqual(TIMES);
      } finally {
        await proxy.stop();
      }
    },
    TIME,
  );
});

describe('ingest on a cluster of two', () => {
  it(
    `finishes by itself and is exact through ${TIMES} kills of its nodes`,
    async () => {
      const seed = runSeed();
      console.log(`node kills: seed ${seed} (INFRASAGE_SEED=${seed} repeats it)`);
      const nodes = await startCluster();
      try {
        const [first] = nodes;
        if (!first) throw new Error('no node');
        const init = ['--cluster', CLUSTER, ...nodes.flatMap(({ url }) => ['--node', url])];
        const beside = kills(nodes, seeded(seed));
        const target = { url: first.url, servers: nodes, init, beside };
        expect(await ingestUnder(target, seed)).toBeGreaterThanOrEqual(TIMES);
      } finally {
        await Promise.all(nodes.map((node) => node.remove()));
      }
    },
    TIME,
  );
});
