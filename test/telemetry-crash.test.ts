import { Agent, fetch } from 'undici';
import { describe, expect, test } from 'vitest';
import { type Running, type Sandbox, until, withDataDir } from './helpers/cli.ts';
import { runSeed, seeded } from './helpers/crash.ts';
import { withEngine } from './helpers/engine.ts';
import { event } from './helpers/events.ts';

const ENV = {
  INFRASAGE_JWT_SECRET: 'a secret of thirty-two bytes or more',
  INFRASAGE_LOG_LEVEL: 'error',
};
const KILLS = 4;
const CLIENTS = 12;
const REQUESTS = 120;

interface Server {
  running: Running;
  origin: string;
}

async function serve(box: Sandbox): Promise<Server> {
  const running = box.start(['serve', '--port', '0'], { env: ENV });
  let said = '';
  running.child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  let ended = false;
  void running.done.then(() => {
    ended = true;
  });
  const address = () => /listening on (\S+);/.exec(said)?.[1];
  await until(() => ended || address() !== undefined);
  const origin = address();
  if (!origin) throw new Error(`the server did not start: ${said}`);
  return { running, origin };
}

/** One request: its key, and how many of its events are valid. */
interface Request {
  path: string;
  key: string;
  type: string;
  body: string;
  valid: number;
  bad: number;
}

function requests(random: () => number): Request[] {
  return Array.from({ length: REQUESTS }, (_, i) => {
    const count = i % 3 === 0 ? 1 : i % 40 === 1 ? 11_000 : 1 + Math.floor(random() * 200);
    const events = Array.from({ length: count }, (_, n) =>
      // One in twenty is bad; each names itself, so that none can stand for another.
      random() < 0.05
        ? event({ service_id: `${i}-${n}`, event_type: 'none' })
        : event({ service_id: `${i}-${n}`, tenant_id: undefined }),
    );
    const bad = events.filter((line) => line.includes('"none"')).length;
    const of = { key: `request-${i}`, valid: count - bad, bad };
    if (count === 1)
      return { ...of, path: '/api/v1/telemetry', type: 'application/json', body: events.join() };
    return i % 2 === 0
      ? { ...of, path: '/api/v1/telemetry/batch', type: 'application/json', body: `[${events.join()}]` }
      : { ...of, path: '/api/v1/telemetry/batch', type: 'application/x-ndjson', body: events.join('\n') };
  });
}

describe('a server that is killed', () => {
  test('has stored every event it has acknowledged, and every event once when all is sent again', async () => {
    const seed = runSeed();
    console.log(`INFRASAGE_SEED=${seed}`);
    const random = seeded(seed);
    await withDataDir(async (box) => {
      const { stdout } = await box.run(
        ['token', 'create', '--role', 'operator', '--tenant', 'acme-corp', '--expires', '1d'],
        {
          env: ENV,
        },
      );
      const authorization = `Bearer ${stdout.trim()}`;
      const all = requests(random);
      const open = new Set(all);
      const dispatcher = new Agent({ connections: CLIENTS });

      const send = async (origin: string, request: Request): Promise<'answered' | 'busy' | 'broken'> => {
        try {
          const response = await fetch(origin + request.path, {
            method: 'POST',
            body: request.body,
            headers: { authorization, 'content-type': request.type, 'idempotency-key': request.key },
            dispatcher,
          });
          const answer = (await response.json()) as { queued: number; failed: number };
          // There is room for so much at once; nothing of it is stored, and it is sent again.
          if (response.status === 503 && response.headers.has('retry-after')) return 'busy';
          expect([200, 422], JSON.stringify(answer)).toContain(response.status);
          expect([answer.queued, answer.failed]).toEqual([request.valid, request.bad]);
          return 'answered';
        } catch (error) {
          // The connection broke; anything else is for the test.
          if (error instanceof TypeError) return 'broken';
          throw error;
        }
      };
      const clients = async (origin: string): Promise<void> => {
        const waiting = [...open].sort(() => random() - 0.5);
        await Promise.all(
          Array.from({ length: CLIENTS }, async () => {
            for (let next = waiting.pop(); next; next = waiting.pop()) {
              const sent = await send(origin, next);
              if (sent === 'broken') return;
              // Some answers are lost on the way: those requests are sent again too.
              if (sent === 'answered' && random() < 0.9) open.delete(next);
            }
          }),
        );
      };

      for (let kills = 0; kills < KILLS; kills++) {
        const { running, origin } = await serve(box);
        const load = clients(origin);
        await new Promise((resolve) => setTimeout(resolve, 200 + random() * 1_300));
        running.child.kill('SIGKILL');
        await Promise.all([load, running.done]);
      }
      const { running, origin } = await serve(box);
      while (open.size > 0) await clients(origin);
      running.child.kill('SIGTERM');
      expect((await running.done).status).toBe(0);

      await withEngine(box.dataDir, (sql) => {
        const [events] = sql<{ n: number; distinct: number }>(
          'SELECT toUInt32(count()) AS n, toUInt32(uniqExact(service_id)) AS distinct FROM infrasage.infrasage_raw_firehose',
        );
        const valid = all.reduce((sum, request) => sum + request.valid, 0);
        expect(events).toEqual({ n: valid, distinct: valid });
        const [letters] = sql<{ n: number }>('SELECT toUInt32(count()) AS n FROM infrasage.infrasage_dlq');
        expect(letters?.n).toBe(all.reduce((sum, request) => sum + request.bad, 0));
      });
      expect((await box.run(['verify'])).status).toBe(0);
    });
  });
});
