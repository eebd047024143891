import { appendFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { follow } from '../src/ingest/follow/follow.ts';
import { ingest } from '../src/ingest/ingest.ts';
import { recover } from '../src/ingest/recover.ts';
import { fileSource } from '../src/ingest/source.ts';
import { type Store, uint64 } from '../src/store/store.ts';
import { verify } from '../src/verify/verify.ts';
import { age } from './helpers/aging.ts';
import { server, token } from './helpers/api.ts';
import { ON_SERVER, type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { failing } from './helpers/failing.ts';
import { ingestOptions } from './helpers/ingest-options.ts';

const HOUR_MS = 3_600_000;
const APART =
  /^infrasage: this machine's clock says 20\S+Z and that of the ClickHouse server 20\S+Z: too far apart/;
const OPTIONS = ingestOptions({ maxLine: 500, batchBytes: 900 });

let box: Sandbox;
beforeEach(() => {
  box = sandbox({ initialised: true });
});
afterEach(() => box.remove());

/** What a clock says that is so many hours ahead; behind, where they are below zero. */
const off = (hours: number) => new Date(Date.now() + hours * HOUR_MS);

const NOTHING = {
  ...{ ingest_batches: 0, raw_firehose: 0, usage_metering: 0, dlq: 0 },
  ...{ dlq_replays: 0, idempotency_keys: 0 },
};

/** Rows of all that a batch is written to. */
async function rows(): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const table of Object.keys(NOTHING)) {
    const [row] = await box.sql<{ n: number }>(`SELECT count() AS n FROM {{db}}.infrasage_${table}`);
    found[table] = Number(row?.n);
  }
  return found;
}

describe.runIf(ON_SERVER)("with a clock that is far from the server's", () => {
  it('nothing is ingested, and what is there is passed over', async () => {
    const path = box.file('events.ndjson', lines(event(), 'no json'));
    for (const hours of [-13, 13]) {
      const refused = await box.run(['ingest', path], { now: off(hours) });
      expect(refused).toMatchObject({ status: 3, stdout: '' });
      expect(refused.stderr).toMatch(APART);
      expect(refused.stderr).toContain('; nothing new is ingested; set the one that is wrong (timedatectl');
      expect(refused.stderr.trimEnd().split('\n')).toHaveLength(1);
    }
    const doctor = await box.run(['doctor', '--json'], { now: off(-13) });
    expect(doctor.stdout).toContain('behind that of the server: too far apart to ingest, which is refused');
    expect(await rows()).toEqual(NOTHING);
    const files = readdirSync(box.dataDir, { recursive: true, encoding: 'utf8' });
    expect(files.filter((name) => statSync(join(box.dataDir, name)).isFile() && /spool/.test(name))).toEqual(
      [],
    );
    expect(await box.json(['ingest', path])).toMatchObject({ accepted: 1, rejected: 1, skipped: 0 });
    const again = await box.json(['ingest', path], { now: off(-13) });
    expect(again).toMatchObject({ accepted: 0, skipped: 2 });
    const near = { stdin: lines(event({ value: 2 })), now: off(-11) };
    expect(await box.json(['ingest'], near)).toMatchObject({ accepted: 1 });
  });

  it('no letter is replayed', async () => {
    await box.json(['ingest'], { stdin: lines(event({ timestamp: 'never' })) });
    const replay = ['dlq', 'replay', '--set', 'timestamp=2024-02-02T03:00:00Z'];
    const before = await rows();
    const refused = await box.run(replay, { now: off(-13) });
    expect(refused).toMatchObject({ status: 3, stdout: '' });
    expect(refused.stderr).toMatch(APART);
    expect(refused.stderr).toContain('; no letter is replayed; ');
    expect(await rows()).toEqual(before);
    expect(await box.json(replay)).toMatchObject({ replayed: 1 });
  });

  it('a follower ends where its clock is set wrong, with what it has', async () => {
    const path = box.file('events.ndjson', lines(event()));
    const store = await box.openStore();
    try {
      let hours = 0;
      const stop = new AbortController();
      const following = follow(
        [path],
        { ...OPTIONS, batchBytes: 100_000, flushMs: 10 },
        {
          ...{ store, folder: box.folder, say: () => {}, stop: stop.signal },
          now: () => off(hours),
          onProgress: () => {
            if (hours !== 0) return stop.abort();
            hours = -13;
            appendFileSync(path, lines(event({ value: 2 })));
          },
        },
      );
      await expect(following).rejects.toMatchObject({
        message: expect.stringContaining('too far apart to ingest'),
        kept: expect.stringMatching(/^1 line is ingested and safe/),
        exitStatus: 3,
      });
    } finally {
      await store.close();
    }
    expect(await rows()).toMatchObject({ raw_firehose: 1, usage_metering: 1 });
  });

  // Of more records than are held at once, what comes is written as it comes.
  it.each([1, 10_001])('no telemetry is taken, and by the right clock once: %i records', async (records) => {
    const store = await box.openStore();
    let hours = -25;
    const { app, log } = await server(store, { now: () => off(hours) });
    try {
      const exp = Math.floor(Date.now() / 1000) + 3_600;
      const headers = {
        authorization: `Bearer ${await token({ role: 'operator', exp })}`,
        'content-type': 'application/x-ndjson',
        'idempotency-key': 'one',
      };
      const payload = lines(...Array.from({ length: records }, () => event()));
      const send = () => app.inject({ method: 'POST', url: '/api/v1/telemetry/batch', headers, payload });
      expect((await send()).statusCode).toBe(503);
      expect(log()).toContain('too far apart to ingest');
      expect(await rows()).toEqual(NOTHING);
      hours = 0;
      for (let times = 0; times < 2; times++) expect((await send()).statusCode).toBeLessThan(300);
      expect(await rows()).toMatchObject({ raw_firehose: records, usage_metering: 1 });
    } finally {
      await app.close();
      await store.close();
    }
  });
});

describe('a batch that is pending for eight days, rolled up meanwhile', () => {
  let store: Store;
  beforeEach(async () => {
    store = await box.openStore();
  });
  afterEach(() => store.close());
  const sql = async (statement: string) => {
    await store.command(statement);
    return [];
  };

  /** Its rows are all there, its commit is not; with an event of the same hour that is there to stay. */
  async function leave(once: boolean) {
    const now = () => new Date();
    await ingest([fileSource(box.file('other.ndjson', lines(event({ body: 'stays' }))))], OPTIONS, {
      store,
      now,
    });
    const path = box.file('events.ndjson', lines(event(), event({ service_id: 'other' }), 'no json'));
    const source = () => ({ ...fileSource(path), once });
    const committing = failing(store, { nth: 3, after: false });
    await expect(ingest([source()], OPTIONS, { store: committing, now })).rejects.toThrow('injected');
    await age(sql, 8);
    await sql('OPTIMIZE TABLE {{db}}.infrasage_usage_metering FINAL');
    // The merge goes by the times that the rows had when they were written.
    await sql('ALTER TABLE {{db}}.infrasage_usage_metering MATERIALIZE TTL SETTINGS mutations_sync = 2');
    expect(await counted()).toEqual({ metered: 3n, of_batches: 0n, events: 3n, letters: 1n });
    return source;
  }

  async function counted() {
    const [found] = await store.query(
      `SELECT (SELECT sum(event_count) FROM {{db}}.infrasage_usage_metering) AS metered,
        (SELECT count() FROM {{db}}.infrasage_usage_metering WHERE batch_id != '') AS of_batches,
        (SELECT count() FROM {{db}}.infrasage_raw_firehose) AS events,
        (SELECT count() FROM {{db}}.infrasage_dlq) AS letters`,
      z.object({ metered: uint64, of_batches: uint64, events: uint64, letters: uint64 }),
    );
    return found;
  }

  async function expectExact(): Promise<void> {
    expect(await counted()).toMatchObject({ metered: 3n, events: 3n, letters: 1n });
    expect(await verify(store)).toMatchObject({ differences: [], pendingBatches: 0n });
  }

  // Eight days behind, the batch has come just now; the engine's clock knows better.
  it.each(ON_SERVER ? [0, -8 * 24] : [0])(
    'is removed, and counts once by the next run (clock %i hours off)',
    async (hours) => {
      const source = await leave(false);
      expect(await recover(store, { now: () => off(hours) })).toMatchObject({ aborted: 1, committed: 0 });
      expect(await counted()).toMatchObject({ metered: 1n, events: 1n, letters: 0n });
      expect(await verify(store)).toMatchObject({ differences: [], pendingBatches: 0n });
      const summary = await ingest([source()], OPTIONS, { store, now: () => new Date() });
      expect(summary).toMatchObject({ accepted: 2n, rejected: 1n, skipped: 0n });
      await expectExact();
    },
  );

  it('is ingested again from the spool where it cannot be read again, and counts once', async () => {
    await leave(true);
    if (ON_SERVER) {
      const before = await counted();
      const late = recover(store, { now: () => off(-8 * 24) });
      await expect(late).rejects.toThrow('too far apart to ingest');
      expect(await counted()).toEqual(before);
    }
    expect(await recover(store, { now: () => new Date() })).toMatchObject({ redone: 1, aborted: 0 });
    await expectExact();
  });
});
