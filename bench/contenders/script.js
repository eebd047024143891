// node script.js DIRECTORY FILE: what one would write by hand with care: readline, JSON.parse, zod, batches through
// @clickhouse/client, counters by tenant, hour and type that are written at the end, bad lines into a table of their
// own. It runs the engine in its own process too, writes while it reads on, and promises nothing: killed halfway,
// its counters are lost and its rows are not.

import { createReadStream } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { createClient } from '@clickhouse/client';
import { createChdbConnection } from 'chdb/connection';
import { z } from 'zod';
import { PLAIN_TABLE } from './plain-table.js';

const BATCH = 50_000;

const name = z
  .string()
  .min(1)
  .max(256)
  .refine((text) => !/\p{Cc}/u.test(text));
const event = z.object({
  tenant_id: name,
  service_id: name,
  event_type: z.enum(['metric', 'log', 'trace', 'event', 'profile', 'slo']),
  timestamp: z.iso.datetime({ offset: true }),
  metric_name: z.string().nullish(),
  value: z.number().nullish(),
  body: z.string().nullish(),
  trace_id: z.string().nullish(),
  attributes: z.record(z.string(), z.unknown()).nullish(),
});

const [directory = '', file = ''] = process.argv.slice(2);
// The binding carries its own copy of the driver's types.
const client = createClient({ connection: /** @type {any} */ (createChdbConnection({ path: directory })) });
const run = (/** @type {string} */ query) => client.command({ query });
await run('CREATE DATABASE plain');
await run(PLAIN_TABLE);
await run('CREATE TABLE plain.bad (line UInt64, raw String, error String) ENGINE = MergeTree ORDER BY line');
await run(
  `CREATE TABLE plain.usage (tenant_id String, hour DateTime('UTC'), event_type String, events UInt64, bytes UInt64)
  ENGINE = SummingMergeTree ORDER BY (tenant_id, hour, event_type)`,
);

const start = performance.now();
/** @type {Map<string, { tenant_id: string, hour: string, event_type: string, events: number, bytes: number }>} */
const usage = new Map();
/** @type {object[]} */
let events = [];
/** @type {object[]} */
let bad = [];
let writing = Promise.resolve();
let line = 0;

/** @param {object[]} valid @param {object[]} others */
async function write(valid, others) {
  await client.insert({
    table: 'plain.events',
    values: valid,
    format: 'JSONEachRow',
    clickhouse_settings: { date_time_input_format: 'best_effort' },
  });
  await client.insert({ table: 'plain.bad', values: others, format: 'JSONEachRow' });
}

/** Writes what is collected, once what was handed over before is written. */
async function flush() {
  const [valid, others] = [events, bad];
  events = [];
  bad = [];
  await writing;
  writing = write(valid, others);
}

for await (const raw of createInterface({ input: createReadStream(file) })) {
  line += 1;
  try {
    const parsed = event.parse(JSON.parse(raw));
    const { tenant_id, event_type, timestamp, attributes, ...others } = parsed;
    const hour = `${new Date(timestamp).toISOString().slice(0, 13)}:00:00`;
    const key = `${tenant_id}\t${hour}\t${event_type}`;
    const counter = usage.get(key) ?? {
      tenant_id,
      hour: hour.replace('T', ' '),
      event_type,
      events: 0,
      bytes: 0,
    };
    counter.events += 1;
    counter.bytes += Buffer.byteLength(raw);
    usage.set(key, counter);
    const texts = Object.fromEntries(
      Object.entries(attributes ?? {}).map(([k, v]) => [k, typeof v === 'string' ? v : JSON.stringify(v)]),
    );
    events.push({ tenant_id, event_type, timestamp, attributes: texts, ...others });
    if (events.length === BATCH) await flush();
  } catch (error) {
    bad.push({ line, raw, error: String(error) });
  }
}
await flush();
await writing;
await client.insert({ table: 'plain.usage', values: [...usage.values()], format: 'JSONEachRow' });
const work_ms = performance.now() - start;

await client.close();
process.stdout.write(JSON.stringify({ work_ms }));
