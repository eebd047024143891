// Seeded telemetry with a tally that serves as the oracle: what a correct ingest must store, count and
// reject is known here without asking it. Nothing depends on the clock: `now` is an argument.
//
//   node bench/generate.js --count 1000000 --bad 0.01 --seed 1 --truth truth.json > events.ndjson
//
// examples/events.ndjson is made by
//
//   node bench/generate.js --count 3000 --bad 0.01 --mix mixed --seed 7 --now 2026-11-24T12:00:00.000Z \
//     --days 1.5 --tenants 5 --order time --extras --shiftable > examples/events.ndjson

import { writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

/**
 * @typedef {'mixed' | 'metric' | 'log' | 'trace'} Mix
 *
 * @typedef {object} GenerateOptions
 * @property {number} seed
 * @property {number} count lines, bad ones included
 * @property {number | string | Date} now the newest good event has exactly this timestamp
 * @property {number} [badRate] share of lines that must be rejected; default 0.01
 * @property {Mix} [mix] which event type prevails; default 'mixed'
 * @property {number} [days] good events lie in (now - days, now]; default 2
 * @property {boolean} [extras] also fields outside the contract, `type` for `event_type`, and nulls
 * @property {number} [tenants] default 8; acme-corp is the first and largest
 * @property {'random' | 'time'} [order] 'random' (default) spreads every stretch of the input over all
 *   hours, which is the harder case for hourly metering; 'time' is a log file's order with late arrivals
 * @property {boolean} [shiftable] all timestamps can be moved by the same amount without changing a verdict:
 *   none in the future or too old, none of the shape that is no real time, and one spelling (...00.000Z)
 * @property {number} [longLines] lines over 1 MiB, in addition to the other bad ones; default 0
 *
 * @typedef {{ events: number, bytesReceived: number }} Tally
 * @typedef {{ line: number, code: string, raw: string }} Reject
 *
 * @typedef {object} Truth
 * @property {number} lines
 * @property {number} accepted
 * @property {number} rejected
 * @property {number} bytesReceived bytes of the accepted lines, without line endings
 * @property {Map<string, Tally>} byTenantTypeHour key `tenant\thour\ttype`, hour as 2026-11-24T11:00:00Z
 * @property {Map<string, Tally>} byTenantService key `tenant\tservice`
 * @property {Map<string, number>} errors lines by error code
 * @property {Reject[]} rejects in input order, `line` counts from 1
 */

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const CHUNK = 1 << 20;
const MAX_LINE = 1 << 20;

export const EVENT_TYPES = ['metric', 'log', 'trace', 'event', 'profile', 'slo'];

/** Per mille of each event type, in the order of EVENT_TYPES. @type {Record<Mix, number[]>} */
const MIXES = {
  mixed: [500, 260, 180, 20, 20, 20],
  metric: [900, 40, 30, 10, 10, 10],
  log: [60, 880, 30, 10, 10, 10],
  trace: [60, 40, 870, 10, 10, 10],
};

const TENANTS = [
  'acme-corp',
  'globex',
  'initech',
  'umbrella-health',
  'stark-logistics',
  'hooli',
  'wayne-retail',
  'northwind',
];

// What the SDKs of different tenants send; all of it is RFC 3339.
const MILLIS = 0;
const SECONDS = 1;
const OFFSET = 2;
const MICROS = 3;
const TIME_STYLES = [MILLIS, MILLIS, OFFSET, MILLIS, SECONDS, MICROS, MILLIS, MILLIS];
const OFFSET_HOURS = 2;

const SERVICES = [
  'checkout-api',
  'payment-api',
  'auth-service',
  'catalog-api',
  'search-api',
  'cart-service',
  'order-service',
  'inventory-sync',
  'notification-worker',
  'web-frontend',
  'api-gateway',
  'billing-worker',
  'user-profile',
  'recommendation',
  'shipping-quote',
  'fraud-scoring',
  'email-sender',
  'image-resizer',
  'session-store',
  'pricing-engine',
  'tax-service',
  'returns-portal',
  'loyalty-api',
  'feature-flags',
  'event-router',
  'audit-log',
  'report-builder',
  'data-export',
  'webhook-relay',
  'mobile-bff',
  'partner-api',
  'warehouse-api',
  'geo-lookup',
  'media-encoder',
  'chat-service',
  'ab-testing',
  'consent-api',
  'invoice-pdf',
  'ledger-core',
  'scheduler',
];

const REGIONS = ['eu-west-1', 'eu-central-1', 'us-east-1', 'us-west-2', 'ap-southeast-1'];
const ROUTES = ['/v1/orders', '/v1/cart/items', '/v1/payments', '/v1/search', '/v1/users/me', '/healthz'];
const SPANS = [
  'POST /v1/orders',
  'GET /v1/search',
  'SELECT orders',
  'redis GET',
  'kafka publish',
  'charge card',
];

/**
 * A name, its attributes beside region and pod, and how its values are distributed.
 * @type {[name: string, attributes: string[], value: (random: () => number) => string][]}
 */
const METRICS = [
  ['http.server.duration', httpAttributes(), (random) => logNormal(random, 38, 0.9).toFixed(2)],
  ['http.server.duration', httpAttributes(), (random) => logNormal(random, 38, 0.9).toFixed(2)],
  [
    'http.server.active_requests',
    ['"scheme":"https"'],
    (random) => String(Math.floor(logNormal(random, 9, 0.8))),
  ],
  ['system.cpu.utilization', ['"state":"user"', '"state":"system"'], (random) => (random() ** 2).toFixed(4)],
  ['process.memory.rss', ['"unit":"By"'], (random) => String(Math.floor(logNormal(random, 3.1e8, 0.4)))],
  [
    'db.client.duration',
    ['"db":"postgresql"', '"db":"redis"'],
    (random) => logNormal(random, 4.2, 1.1).toFixed(3),
  ],
  [
    'queue.depth',
    ['"queue":"orders"', '"queue":"emails"'],
    (random) => String(Math.floor(random() ** 4 * 9000)),
  ],
  ['cache.hit_ratio', ['"cache":"catalog"'], (random) => (0.72 + 0.28 * random()).toFixed(4)],
  ['jvm.gc.pause', ['"gc":"G1 Young"', '"gc":"G1 Old"'], (random) => logNormal(random, 11, 0.7).toFixed(1)],
  ['outbound.clock_skew', ['"peer":"ntp-1"'], (random) => ((random() - 0.5) * 8).toFixed(3)],
];

/**
 * A level and a message made of a number or two.
 * @type {[level: string, body: (n: number, m: number) => string][]}
 */
const LOGS = [
  ['info', (n, m) => `GET ${ROUTES[n % 6]} 200 in ${m % 900} ms`],
  [
    'info',
    (n, m) =>
      `order ${(n % 9_000_000) + 1_000_000} placed, ${(m % 9) + 1} items, total ${m % 500}.${10 + (n % 90)} EUR`,
  ],
  ['info', (n) => `user ${n % 1_000_000} signed in from a known device`],
  ['debug', (n, m) => `cache miss for product:${n % 500_000}, loaded in ${m % 60} ms`],
  ['info', (n, m) => `consumed ${(n % 500) + 1} messages from partition ${m % 12}, lag ${m % 4000}`],
  ['warn', (n, m) => `retry ${(n % 3) + 1} of 3 after a timeout of ${(m % 20) * 100} ms calling payment-api`],
  [
    'warn',
    (n) => `slow query: SELECT * FROM orders WHERE customer_id = ${n % 100_000} took ${(n % 4000) + 1000} ms`,
  ],
  ['error', (n) => `connection reset by peer while reading upstream 10.0.${n % 32}.${(n >>> 8) % 255}:8443`],
  ['error', (n) => `card declined for order ${n % 9_000_000}: \\"insufficient funds\\"`],
  [
    'error',
    (n) =>
      `TypeError: Cannot read properties of undefined\\n    at handler (/app/dist/routes.js:${n % 900}:17)`,
  ],
  ['info', (n) => `Lieferung ${n % 900_000} nach München übergeben`],
  ['info', (n) => `注文 ${n % 900_000} の発送が完了しました`],
  ['info', (n) => `paiement accepté pour la commande n° ${n % 900_000} ✓`],
  ['warn', (n) => `disk ${n % 8} at ${80 + (n % 19)} % 🔥`],
];

/** @type {((n: number, m: number) => string)[]} */
const HAPPENINGS = [
  (n, m) => `deployment of v2.${m % 40}.${n % 10} finished`,
  (n, m) => `deployment of v2.${m % 40}.${n % 10} rolled back: error rate ${(n % 9) + 1} %`,
  (n) => `scaled from ${(n % 6) + 2} to ${(n % 6) + 4} replicas`,
  (n) => `feature flag new-checkout set to ${(n % 20) * 5} %`,
  (n) => `certificate renewed, valid for ${60 + (n % 30)} days`,
  (n) => `Wartungsfenster für Zürich beendet nach ${n % 55} min`,
];

/** Fields outside the contract. @type {((n: number) => string)[]} */
const EXTRAS = [
  (n) => `,"host":"ip-10-0-${n % 32}-${(n >>> 8) % 255}"`,
  (n) => `,"environment":"production","sampled":${n % 2 === 0}`,
  (n) => `,"sdk":{"name":"otel-js","version":"1.${n % 30}.${n % 7}"}`,
  (n) => `,"severity":${n % 24},"links":[{"span":"${hex(n)}"}]`,
  () => `,"größe":"groß","note":null`,
];

/**
 * One way to be wrong: the code that must be given, and the line, made from a good one. `shifts` is false
 * where the verdict does not survive moving the timestamps.
 * @typedef {{ now: number, line: string, event: Record<string, unknown>, n: number }} Base
 * @typedef {{ code: string, make: (base: Base) => string, shifts?: false }} Defect
 */

/** @param {string} code @param {Record<string, unknown>} changes @returns {Defect} */
const changed = (code, changes) => ({ code, make: ({ event }) => JSON.stringify({ ...event, ...changes }) });

/** @param {string} code @param {string} field @returns {Defect} */
const without = (code, field) => changed(code, { [field]: undefined });

/** @param {string} code @param {string} tail what stands for the closing brace @returns {Defect} */
const ending = (code, tail) => ({ code, make: ({ line }) => line.slice(0, -1) + tail });

/** @param {string} line @returns {Defect} */
const notAnObject = (line) => ({ code: 'not_an_object', make: () => line });

/** Has the shape of RFC 3339 and is no real time, or is too old. @param {string} code @param {string} timestamp */
const fixedTime = (code, timestamp) => ({
  ...changed(code, { timestamp }),
  shifts: /** @type {const} */ (false),
});

/** Each with one thing wrong, but for the last, which shows that the first failing rule gives the code. @type {Defect[]} */
const DEFECTS = [
  {
    code: 'invalid_json',
    make: ({ line, n }) => line.slice(0, 20 + (n % (line.length - 40))).toWellFormed(),
  },
  without('missing_tenant_id', 'tenant_id'),
  changed('invalid_value', { value: '12.5' }),
  changed('invalid_timestamp', { timestamp: 'yesterday' }),
  changed('invalid_event_type', { event_type: 'metrics' }),
  notAnObject('[{"tenant_id":"acme-corp"},{"tenant_id":"globex"}]'),
  ending('duplicate_key', ',"tenant_id":"acme-corp"}'),
  without('missing_service_id', 'service_id'),
  without('missing_timestamp', 'timestamp'),
  without('missing_event_type', 'event_type'),
  changed('invalid_tenant_id', { tenant_id: '' }),
  changed('invalid_service_id', { service_id: 42 }),
  changed('invalid_metric_name', { metric_name: ['http', 'duration'] }),
  changed('invalid_body', { body: { message: 'nested' } }),
  changed('invalid_trace_id', { trace_id: 4711 }),
  changed('invalid_attributes', { attributes: 'region=eu-west-1' }),
  {
    code: 'timestamp_in_future',
    make: ({ event, now, n }) =>
      JSON.stringify({ ...event, timestamp: new Date(now + 30 * DAY + (n % 8760) * HOUR) }),
    shifts: false,
  },
  fixedTime('timestamp_too_old', '1999-12-31T23:59:59.999Z'),
  {
    code: 'invalid_event_type',
    make: ({ line, event }) =>
      `${line.slice(0, -1)},"type":"${event.event_type === 'log' ? 'metric' : 'log'}"}`,
  },
  ending('invalid_json', ',}'),
  { code: 'invalid_json', make: () => 'Traceback (most recent call last):' },
  changed('invalid_timestamp', { timestamp: 1_764_000_000 }),
  changed('invalid_tenant_id', { tenant_id: 'acme\u0000corp' }),
  changed('missing_tenant_id', { tenant_id: null }),
  ending('invalid_json', ',"ratio":NaN}'),
  changed('invalid_value', { value: true }),
  notAnObject('"just a string"'),
  changed('invalid_timestamp', { timestamp: '24/11/2026 10:15' }),
  ending('duplicate_key', ',"note":1,"note":2}'),
  ending('invalid_json', '} {"tenant_id":"acme-corp"}'),
  changed('invalid_attributes', { attributes: [{ key: 'region', value: 'eu-west-1' }] }),
  changed('invalid_tenant_id', { tenant_id: 'x'.repeat(129) }),
  changed('invalid_service_id', { service_id: 'x'.repeat(257) }),
  changed('missing_service_id', { service_id: null }),
  changed('missing_event_type', { event_type: null }),
  changed('missing_timestamp', { timestamp: null }),
  {
    code: 'invalid_timestamp',
    make: ({ event }) => JSON.stringify({ ...event, timestamp: String(event.timestamp).slice(0, 19) }),
  },
  ending('invalid_json', ',"ratio":1e400}'),
  notAnObject('null'),
  ending('invalid_json', ',"note":"\\ud800"}'),
  changed('invalid_event_type', { event_type: 'METRIC' }),
  changed('invalid_tenant_id', { tenant_id: 7 }),
  changed('invalid_service_id', { service_id: '' }),
  fixedTime('invalid_timestamp', '2026-02-30T10:00:00Z'),
  fixedTime('timestamp_too_old', '1970-01-01T00:00:00Z'),
  fixedTime('invalid_timestamp', '2026-04-10T25:00:00Z'),
  fixedTime('invalid_timestamp', '2026-04-10T10:00:60Z'),
  changed('invalid_metric_name', { metric_name: 12 }),
  changed('invalid_body', { body: false }),
  changed('missing_tenant_id', { tenant_id: undefined, timestamp: 'yesterday', value: 'high' }),
];

/**
 * The lines and the tally. The totals in `truth` are up to date at each chunk, its maps when the last one has
 * been taken. Chunks end at line ends and hold about 1 MiB. The verdicts are those of the default options,
 * within 29 days after `now`.
 * @param {GenerateOptions} options
 * @returns {{ chunks: Generator<Buffer, void, void>, truth: Truth }}
 */
export function generate(options) {
  /** @type {Truth} */
  const truth = {
    lines: 0,
    accepted: 0,
    rejected: 0,
    bytesReceived: 0,
    byTenantTypeHour: new Map(),
    byTenantService: new Map(),
    errors: new Map(),
    rejects: [],
  };
  return { chunks: lines(options, truth), truth };
}

/**
 * @param {GenerateOptions} options
 * @param {Truth} truth
 * @returns {Generator<Buffer, void, void>}
 */
function* lines(options, truth) {
  const { seed, count, badRate = 0.01, mix = 'mixed', days = 2, extras = false, order = 'random' } = options;
  const now = new Date(options.now).getTime();
  if (Number.isNaN(now)) throw new RangeError(`now is not a time: ${options.now}`);
  const span = Math.round(days * DAY);
  const next = sfc32(seed);
  const random = () => next() / 2 ** 32;

  const tenants = Array.from(
    { length: options.tenants ?? TENANTS.length },
    (_, i) => TENANTS[i] ?? `tenant-${i + 1}`,
  );
  const styles = options.shiftable ? [] : TIME_STYLES;
  const tenantHeads = tenants.map((tenant) => `{"tenant_id":"${tenant}","timestamp":"`);
  const tenantPicks = picks(tenants.map((_, i) => 1 / (i + 1)));
  // Smaller tenants run fewer services, and each has others among its busiest.
  const serviceCounts = tenants.map((_, i) => Math.max(6, SERVICES.length - 5 * i));
  const servicePicks = serviceCounts.map((n) => picks(Array.from({ length: n }, (_, i) => 1 / (i + 2))));
  const typePicks = picks(/** @type {number[]} */ (MIXES[mix]));
  const pods = SERVICES.map(() =>
    Array.from({ length: 16 }, () => `"region":"${REGIONS[next() % 5]}","pod":"${hex(next()).slice(0, 5)}"`),
  );
  const mids = SERVICES.map((service) =>
    EVENT_TYPES.map((type) => `","event_type":"${type}","service_id":"${service}"`),
  );
  const metrics = METRICS.map(([name, attributes, value]) => ({
    head: `,"metric_name":"${name}","value":`,
    attributes: attributes.map((text) => `${text}}}`),
    values: Array.from({ length: 1024 }, () => value(random)),
  }));
  const durations = Array.from({ length: 1024 }, () => logNormal(random, 21, 1.2).toFixed(3));
  const burnRates = Array.from({ length: 1024 }, () => logNormal(random, 0.6, 0.9).toFixed(3));

  const firstHour = Math.floor((now - span) / HOUR);
  const hours = Math.floor(now / HOUR) - firstHour + 1;
  const hourTexts = Array.from({ length: hours + OFFSET_HOURS }, (_, i) =>
    new Date((firstHour + i) * HOUR).toISOString().slice(0, 14),
  );
  const events = new Float64Array(tenants.length * hours * 6);
  const bytes = new Float64Array(tenants.length * hours * 6);
  const serviceEvents = new Float64Array(tenants.length * SERVICES.length);
  const serviceBytes = new Float64Array(tenants.length * SERVICES.length);

  /** @param {number} time @param {number} style */
  const timeText = (time, style) => {
    const hour = Math.floor(time / HOUR);
    const rest = time - hour * HOUR;
    const shift = style === OFFSET ? OFFSET_HOURS : 0;
    const second = Math.floor(rest / 1000);
    const text = /** @type {string} */ (hourTexts[hour - firstHour + shift]) + CLOCK[second];
    if (style === SECONDS) return `${text}Z`;
    if (style === OFFSET) return `${text}${MS[rest % 1000]}+02:00`;
    if (style === MICROS) return `${text}${MS[rest % 1000]}${100 + (rest % 900)}Z`;
    return `${text}${MS[rest % 1000]}Z`;
  };

  /** How long ago, where `back` would be in order: up to 30 s sooner, a few up to two hours late. @param {number} back */
  const late = (back) =>
    Math.min(
      span - 2,
      back - random() * Math.min(back, 30_000) + random() ** 8 * Math.min(span - back, 2 * HOUR),
    );

  /** The fields behind service_id. @param {number} type @param {number} service */
  const payload = (type, service) => {
    const n = next();
    const m = next();
    const pod = /** @type {string[]} */ (pods[service])[n & 15];
    switch (type) {
      case 0: {
        const metric = /** @type {(typeof metrics)[number]} */ (metrics[m % metrics.length]);
        const attributes = metric.attributes[(n >>> 4) % metric.attributes.length];
        return `${metric.head}${metric.values[m >>> 22]},"attributes":{${pod},${attributes}`;
      }
      case 1: {
        const [level, body] = /** @type {(typeof LOGS)[number]} */ (LOGS[logPicks[n >>> 22] ?? 0]);
        const trace = n & 48 ? '' : `,"trace_id":"${hex(next())}${hex(next())}${hex(next())}${hex(m)}"`;
        return `,"body":"${body(n, m)}"${trace},"attributes":{"level":"${level}",${pod}}}`;
      }
      case 2:
        return `,"metric_name":"span.duration","value":${durations[m & 1023]},"trace_id":"${hex(next())}${hex(next())}${hex(next())}${hex(m)}","attributes":{"span":"${SPANS[n % 6]}",${m % 50 ? '' : '"error":true,'}"region":"${REGIONS[n % 5]}"}}`;
      case 3:
        return `,"body":"${HAPPENINGS[n % 6]?.(n >>> 4, m)}","attributes":{"actor":"deploy-bot","cluster":"prod-${n % 4}",${pod}}}`;
      case 4:
        return `,"metric_name":"${n & 16 ? 'profile.cpu' : 'profile.alloc_space'}","value":${m},"attributes":{"profile_id":"${hex(m)}","frames":${64 + (n % 900)},"runtime":"node",${pod}}}`;
      default:
        return `,"metric_name":"slo.burn_rate","value":${burnRates[m & 1023]},"attributes":{"slo":"${n & 16 ? 'availability' : 'latency-p99'}","target":${n & 16 ? 99.9 : 99.5},"window":"${n & 32 ? '1h' : '6h'}",${pod}}}`;
    }
  };

  const defects = shuffled(
    DEFECTS.filter((defect) => !options.shiftable || defect.shifts !== false),
    seed,
  );
  const longLines = options.longLines ?? 0;
  const longEvery = longLines > 0 ? Math.ceil(count / longLines) : 0;
  // Bad lines at even distances, jittered, so that a small input has its share too.
  const badEvery = badRate > 0 ? 1 / badRate : Infinity;
  let badIndex = 0;
  let nextBad = badRate > 0 ? Math.floor(random() * badEvery) : Infinity;
  const lastGood = count - 1;

  let chunk = Buffer.allocUnsafe(CHUNK);
  let used = 0;
  for (let i = 0; i < count; i++) {
    const long = longEvery > 0 && i % longEvery === longEvery >> 1 && i !== lastGood;
    const bad = i >= nextBad && !long && i !== lastGood;
    const tenant = tenantPicks[next() & 4095] ?? 0;
    const rank = servicePicks[tenant]?.[next() & 4095] ?? 0;
    const service = (rank + 7 * tenant) % SERVICES.length;
    const type = typePicks[next() & 4095] ?? 0;
    const time =
      now - 1 - Math.floor(order === 'random' ? random() * (span - 1) : late(span * (1 - i / count)));
    let line;
    let slot = -1;

    if (bad || long) {
      const good = `${tenantHeads[tenant]}${timeText(time, MILLIS)}${mids[service]?.[type]}${payload(type, service)}`;
      let code = 'line_too_long';
      if (bad) {
        const defect = /** @type {Defect} */ (defects[badIndex % defects.length]);
        code = defect.code;
        line = defect.make({ now, line: good, event: JSON.parse(good), n: next() });
        badIndex++;
        nextBad = Math.floor((badIndex + random()) * badEvery);
      } else {
        line = `${good.slice(0, -1)},"dump":"${'x'.repeat(MAX_LINE)}"}`;
      }
      truth.rejected++;
      truth.rejects.push({ line: i + 1, code, raw: line });
      truth.errors.set(code, (truth.errors.get(code) ?? 0) + 1);
    } else if (i === lastGood) {
      line = `${tenantHeads[0]}${timeText(now, MILLIS)}${mids[service]?.[type]}${payload(type, service)}`;
      slot = (hours - 1) * 6 + type;
    } else {
      const head = tenantHeads[tenant] + timeText(time, styles[tenant % 8] ?? MILLIS);
      line = `${head}${mids[service]?.[type]}${payload(type, service)}`;
      if (extras) line = withExtras(line, next());
      slot = (tenant * hours + Math.floor(time / HOUR) - firstHour) * 6 + type;
    }

    if (used + line.length * 3 + 1 > CHUNK) {
      if (used > 0) yield chunk.subarray(0, used);
      chunk = Buffer.allocUnsafe(Math.max(CHUNK, line.length * 3 + 1));
      used = 0;
    }
    const length = chunk.write(line, used);
    used += length;
    chunk[used++] = 10;

    truth.lines++;
    if (slot >= 0) {
      truth.accepted++;
      truth.bytesReceived += length;
      const owner = i === lastGood ? 0 : tenant;
      events[slot] = (events[slot] ?? 0) + 1;
      bytes[slot] = (bytes[slot] ?? 0) + length;
      const at = owner * SERVICES.length + service;
      serviceEvents[at] = (serviceEvents[at] ?? 0) + 1;
      serviceBytes[at] = (serviceBytes[at] ?? 0) + length;
    }
  }

  events.forEach((n, slot) => {
    if (n === 0) return;
    const tenant = tenants[Math.floor(slot / 6 / hours)];
    const key = `${tenant}\t${hourTexts[Math.floor(slot / 6) % hours]}00:00Z\t${EVENT_TYPES[slot % 6]}`;
    truth.byTenantTypeHour.set(key, { events: n, bytesReceived: bytes[slot] ?? 0 });
  });
  serviceEvents.forEach((n, at) => {
    if (n === 0) return;
    const key = `${tenants[Math.floor(at / SERVICES.length)]}\t${SERVICES[at % SERVICES.length]}`;
    truth.byTenantService.set(key, { events: n, bytesReceived: serviceBytes[at] ?? 0 });
  });
  if (used > 0) yield chunk.subarray(0, used);
}

/** One line in eight: a field outside the contract, `type` for `event_type`, or a null. @param {string} line @param {number} n */
function withExtras(line, n) {
  const kind = n % 64;
  if (kind >= 8) return line;
  if (kind === 6) return line.replace('"event_type":', '"type":');
  if (kind === 7) return `${line.slice(0, -1)},"type":null}`;
  return `${line.slice(0, -1)}${EXTRAS[kind % 5]?.(n >>> 6)}}`;
}

/** @returns {string[]} */
function httpAttributes() {
  return ['200', '200', '200', '201', '204', '404', '429', '500'].flatMap((status) =>
    ROUTES.map(
      (route) => `"method":"${status === '201' ? 'POST' : 'GET'}","route":"${route}","status":${status}`,
    ),
  );
}

/** Index by weight from 12 random bits: a table of 4,096. @param {number[]} weights */
function picks(weights) {
  const sum = weights.reduce((a, b) => a + b, 0);
  const table = new Uint16Array(4096);
  let at = 0;
  let upTo = 0;
  weights.forEach((weight, i) => {
    upTo += (weight / sum) * 4096;
    while (at < 4096 && at < upTo) table[at++] = i;
  });
  return table;
}

// The common messages are the plain ones; the last four, in UTF-8, are one in twenty.
const logPicks = (() => {
  const table = picks([20, 14, 12, 12, 10, 6, 4, 4, 3, 2, 2, 1, 1, 0.6]);
  return Uint16Array.from({ length: 1024 }, (_, i) => table[i * 4] ?? 0);
})();

const CLOCK = Array.from({ length: 3600 }, (_, s) => `${two(Math.floor(s / 60))}:${two(s % 60)}`);
const MS = Array.from({ length: 1000 }, (_, ms) => `.${String(ms).padStart(3, '0')}`);
const HEX = Array.from({ length: 65536 }, (_, i) => i.toString(16).padStart(4, '0'));

/** @param {number} n */
function two(n) {
  return String(n).padStart(2, '0');
}

/** Eight hexadecimal digits of 32 bits. @param {number} n */
function hex(n) {
  return `${HEX[n >>> 16]}${HEX[n & 65535]}`;
}

/** @param {() => number} random @param {number} median @param {number} sigma */
function logNormal(random, median, sigma) {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return median * Math.exp(sigma * normal);
}

/** The first two dozen stay in front, so that few bad lines already show every code. @template T @param {T[]} list @param {number} seed @returns {T[]} */
function shuffled(list, seed) {
  const next = sfc32(seed ^ 0x5eed);
  const groups = [list.slice(0, 24), list.slice(24)];
  for (const group of groups) {
    for (let i = group.length - 1; i > 0; i--) {
      const j = next() % (i + 1);
      [group[i], group[j]] = [/** @type {T} */ (group[j]), /** @type {T} */ (group[i])];
    }
  }
  return groups.flat();
}

/** Small fast counting generator, 32 bits a call. @param {number} seed @returns {() => number} */
function sfc32(seed) {
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  let c = seed | 0;
  let counter = 1;
  const next = () => {
    const t = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + t) | 0;
    return t >>> 0;
  };
  for (let i = 0; i < 16; i++) next();
  return next;
}

const USAGE = `node bench/generate.js --count N [options] > events.ndjson

  --count N          lines, bad ones included (1000000)
  --bad RATE         share of lines that must be rejected (0.01)
  --mix MIX          mixed, metric, log or trace (mixed)
  --seed N           same seed, same bytes (1)
  --now TIME         timestamp of the newest event, RFC 3339 (the current time)
  --days N           events lie in the days before (2)
  --tenants N        how many tenants (8)
  --order ORDER      random or time (random)
  --extras           fields outside the contract in some events
  --shiftable        no bad line whose verdict depends on the clock
  --long-lines N     lines over 1 MiB (0)
  --truth FILE       write what a correct ingest must count, as JSON
`;

async function main() {
  const { values } = parseArgs({
    options: {
      count: { type: 'string', default: '1000000' },
      bad: { type: 'string', default: '0.01' },
      mix: { type: 'string', default: 'mixed' },
      seed: { type: 'string', default: '1' },
      now: { type: 'string' },
      days: { type: 'string', default: '2' },
      tenants: { type: 'string', default: String(TENANTS.length) },
      order: { type: 'string', default: 'random' },
      extras: { type: 'boolean', default: false },
      shiftable: { type: 'boolean', default: false },
      'long-lines': { type: 'string', default: '0' },
      truth: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  if (!Object.hasOwn(MIXES, values.mix))
    throw new Error(`--mix must be one of ${Object.keys(MIXES).join(', ')}`);
  if (values.order !== 'random' && values.order !== 'time') throw new Error('--order must be random or time');
  const options = {
    seed: number('--seed', values.seed),
    count: number('--count', values.count),
    badRate: number('--bad', values.bad),
    mix: /** @type {Mix} */ (values.mix),
    now: values.now ?? new Date().toISOString(),
    days: number('--days', values.days),
    tenants: number('--tenants', values.tenants),
    order: /** @type {'random' | 'time'} */ (values.order),
    extras: values.extras,
    shiftable: values.shiftable,
    longLines: number('--long-lines', values['long-lines']),
  };
  const { chunks, truth } = generate(options);
  await pipeline(Readable.from(chunks), process.stdout);
  if (values.truth !== undefined) {
    const entries = Object.entries(truth).map(([k, v]) => [k, v instanceof Map ? Object.fromEntries(v) : v]);
    writeFileSync(values.truth, `${JSON.stringify({ options, ...Object.fromEntries(entries) }, null, 2)}\n`);
  }
}

/** @param {string} name @param {string} text */
function number(name, text) {
  const n = Number(text);
  if (text.trim() === '' || !Number.isFinite(n) || n < 0)
    throw new Error(`${name} must be a number, not '${text}'`);
  return n;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  main().catch((/** @type {NodeJS.ErrnoException} */ error) => {
    if (error.code === 'EPIPE') return;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
  });
}
