// What each command prints with --json, and docs/json/*.schema.json made of it: npm run schemas.
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

const count = z.int().min(0).describe('a whole number, exact to 64 bits');
const bytes = count.describe('bytes; a whole number, exact to 64 bits');
const time = z.string().meta({ format: 'date-time' }).describe('RFC 3339, UTC');
const maybe = (schema) => schema.nullable();
const o = z.strictObject;

const period = o({ start: time, end: time });
const asOf = time.optional().describe('with --as-of: what was ingested later is left out');
const kind = z
  .enum(['value', 'none', 'unattributed'])
  .describe(
    'of a value, which may be empty; of events without the attribute; or metered, with its raw rows removed by their age',
  );
const usageRow = z
  .object({
    tenant_id: z.string().optional().describe('where rows of several tenants are shown'),
    event_type: z.string().optional(),
    service_id: z.string().optional(),
    hour: z.string().optional(),
    day: z.string().optional(),
    month: z.string().optional(),
    kind: kind.optional().describe('by attribute'),
    events: count,
    bytes: bytes.describe('compressed bytes as stored'),
  })
  .catchall(
    z.string().nullable().describe('by attribute: its value under attributes.KEY, null where there is none'),
  );
const usage = o({
  tenant_id: maybe(z.string()).describe('null for all tenants'),
  period,
  group_by: z.union([
    z.enum(['event_type', 'service_id', 'tenant_id', 'hour', 'day', 'month']),
    z.string().startsWith('attributes.'),
  ]),
  as_of: asOf,
  breakdown: z.array(usageRow),
  total_events: count,
  total_bytes: bytes,
});

const late = z
  .record(z.string(), count)
  .optional()
  .describe('events for months that are closed, by month: they are an adjustment on a later bill');
const ingest = o({
  lines: count.describe('accepted + rejected + skipped'),
  accepted: count,
  rejected: count,
  skipped: count.describe('ingested before'),
  bytes_received: bytes,
  bytes_ingested: bytes.describe('compressed bytes as stored'),
  errors: z.record(z.string(), count).describe('rejected lines by error code'),
  elapsed_ms: z.number(),
  closed_months: late,
});

const month = {
  total_events: count,
  total_bytes: bytes,
  millions_of_events: z.number().describe('rounded to two decimals; total_events is exact'),
  by_type: z.array(o({ event_type: z.string(), events: count, bytes })),
  projected_events: count.describe('at the pace so far; those counted where the month is over'),
  projected_bytes: bytes,
};
const tenantMonth = {
  ...month,
  tenant_id: z.string(),
  quota_events: maybe(count),
  quota_used_percent: maybe(z.number()),
  quota_bytes: maybe(bytes),
  thresholds: z.array(
    o({ threshold_percent: z.number(), dimension: z.enum(['events', 'bytes']), reached: z.boolean() }),
  ),
};
const amount = z.string().describe('exact, with the digits of the currency: "12.30"');
const adjustment = {
  month: z.string().describe('that the events are of'),
  quantities: z
    .array(o({ event_type: z.string(), events: z.int(), bytes_ingested: z.int(), bytes_received: z.int() }))
    .describe('what has changed since it was billed, with its sign'),
};
const invoice = o({
  tenant_id: z.string(),
  month: z.string(),
  period,
  plan: o({ name: z.string(), version: maybe(count).describe('null where it is only tried: --plan') }),
  currency: z.string().describe('ISO 4217'),
  lines: z.array(
    o({
      line_id: z.string().describe('once on an invoice, the same every month'),
      charge_id: maybe(z.string()),
      kind: z.enum(['base_fee', 'usage', 'included', 'minimum']),
      dimension: maybe(z.enum(['events', 'bytes_ingested', 'bytes_received'])),
      event_types: maybe(z.array(z.string())).describe('null: all'),
      model: maybe(z.enum(['flat', 'graduated', 'volume', 'package'])),
      quantity: maybe(count),
      packages: maybe(count),
      tier: maybe(o({ number: count, from: count, up_to: maybe(count) })),
      per: maybe(count).describe('events or bytes that the unit price is for'),
      unit_price: maybe(z.string()).describe('exact'),
      amount,
      description: z.string(),
    }),
  ),
  subtotal: amount,
  adjustments: z.array(o({ ...adjustment, amount })),
  total: amount,
  open: z.boolean().describe('whether the month has begun and is not over'),
  projected: maybe(o({ method: z.literal('linear'), total: amount })).describe(
    'null where the month is over',
  ),
});
const change = {
  old: amount,
  new: amount,
  difference: amount,
  change_percent: maybe(z.string()).describe('null where nothing became something'),
};
const totals = o({ events: count, bytes_ingested: bytes, bytes_received: bytes });
const closingRecord = {
  month: z.string(),
  action: z.enum(['close', 'reopen']),
  at: time,
  user: z.string().describe('of the operating system'),
  host: z.string(),
  reason: maybe(z.string()),
  overridden: z.array(z.string()).describe('what stood against it'),
  before: totals.describe('billed for the month until then'),
  after: totals.describe('of a closing, what was billed; of a reopening, what is metered'),
};
const closing = o({
  ...closingRecord,
  already: z.boolean().describe('whether it was closed before, and nothing was done'),
});
const closings = o({ closed_months: z.array(z.string()), history: z.array(o(closingRecord)) });
const backtest = o({
  plan: z.string(),
  currency: z.string(),
  months: z.array(z.string()).describe('oldest first'),
  tenants: z.array(o({ tenant_id: z.string(), months: count.describe('compared'), ...change })),
  total: o(change),
  quantiles: maybe(
    o(
      Object.fromEntries(
        ['min', 'p10', 'p25', 'median', 'p75', 'p90', 'max'].map((name) => [name, z.string()]),
      ),
    ),
  ).describe('of the change of tenants, per cent'),
  buckets: z.array(o({ from_percent: maybe(z.int()), to_percent: maybe(z.int()), tenants: count })),
  skipped: o({ no_plan: count, other_currency: count }).describe('months of tenants that are not compared'),
  max_change_percent: maybe(z.string()),
  over: z.array(z.string()).describe('tenants that change by more'),
});

const billing = o({
  ...month,
  tenant_id: maybe(z.string()).describe('null for all tenants'),
  month: z.string(),
  period,
  as_of: asOf,
  quota_events: tenantMonth.quota_events.optional().describe('of one tenant'),
  quota_used_percent: tenantMonth.quota_used_percent.optional(),
  quota_bytes: tenantMonth.quota_bytes.optional(),
  thresholds: tenantMonth.thresholds.optional(),
  by_tenant: z.array(o(tenantMonth)).optional().describe('of all tenants'),
  closed_at: time.optional().describe('where the month is closed'),
  invoices: z.array(invoice).optional().describe('of tenants with a price plan, where there are any'),
  adjustments: z
    .array(o({ tenant_id: z.string(), ...adjustment, amount: maybe(amount), currency: maybe(z.string()) }))
    .optional()
    .describe('what has changed of earlier months that are closed; null without a plan'),
});

const figures = {
  events: count,
  bytes_ingested: bytes.describe('compressed bytes as stored'),
  bytes_received: bytes.describe('as sent'),
};
const omitted = maybe(o({ rows: count, ...figures })).describe('the sum of the rows that --limit left out');
const traced = o({
  ...figures,
  by_type: z.array(o({ event_type: z.string(), ...figures })),
  by: z.enum(['hour', 'day']),
  times: z.array(o({ start: time, ...figures })),
  times_omitted: omitted,
  batches: z.array(
    o({
      batch_id: maybe(z.string()).describe('null for rows that others have written to the firehose'),
      source: maybe(z.string()).describe('the file, stream or sender it was read from'),
      received_at: maybe(time),
      ...figures,
    }),
  ),
  batches_omitted: omitted,
  unattributed: maybe(
    o({
      reason: z
        .enum(['removed', 'differs'])
        .describe('raw rows are past their retention, or verify finds a difference'),
      raw_kept_since: maybe(time),
      events: z.int(),
      bytes_ingested: z.int(),
      bytes_received: z.int(),
    }),
  ).describe('what no batch accounts for; negative where batches have more than is metered'),
});
const explanation = o({
  tenant_id: z.string(),
  month: z.string(),
  period,
  explains: z.string().describe('a line of the invoice, a charge of its plan, or an event type'),
  invoice: o({
    plan: invoice.shape.plan,
    currency: invoice.shape.currency,
    lines: invoice.shape.lines.describe('of the charge, each tier with what fell into it'),
    dimension: maybe(z.enum(['events', 'bytes_ingested', 'bytes_received'])).describe(
      'null where nothing was metered for it, as for a base fee',
    ),
    event_types: maybe(z.array(z.string())).describe('null for all'),
    quantity: maybe(count).describe('of these lines'),
    amount: z.string().describe('of these lines'),
    not_billed: z.int().describe('metered by now, and not in quantity: it came after the closing'),
  })
    .optional()
    .describe('where a line is explained'),
  ...traced.partial().shape,
  not_billed: o({ events: z.int(), bytes_ingested: z.int(), bytes_received: z.int() })
    .optional()
    .describe(
      'of an event type: what is in the figures and not on the bill, since it came after that was closed',
    ),
}).describe(
  'with --explain; times, and batches with what is unattributed, each add up to the figures; without them where nothing was metered for it',
);

const stored = {
  events: count,
  events_per_second: z.number(),
  bytes_received: bytes,
  bytes_per_second: z.number(),
};
const top = o({
  at: time,
  window_seconds: count.describe('events that were stored in so many seconds before'),
  tenant_id: maybe(z.string()).describe('null for all tenants'),
  events: count,
  bytes_received: bytes.describe('as sent'),
  course: z.array(count).describe('events of equal parts of the window, oldest first'),
  by_tenant: z.array(o({ tenant_id: z.string(), ...stored })).describe('at most 100'),
  by_type: z.array(o({ event_type: z.string(), ...stored })),
  by_service: z
    .array(
      o({
        tenant_id: z.string().optional().describe('where all tenants are shown'),
        service_id: z.string(),
        ...stored,
      }),
    )
    .describe('at most 100'),
  dead_letters: z.array(o({ error: z.string(), lines: count, lines_24h: count })),
  quotas: z
    .array(
      o({
        tenant_id: z.string(),
        dimension: z.enum(['events', 'bytes']),
        used: count,
        quota: count,
        thresholds: z.array(o({ threshold_percent: z.number(), level: count, reached: z.boolean() })),
      }),
    )
    .describe('of the current month, fullest first; at most 100'),
  quotas_in_all: count,
});
const report = o({
  file: z.string(),
  tenant_id: maybe(z.string()).describe('null for all tenants'),
  month: z.string(),
  total_events: count,
  total_bytes: bytes,
  file_bytes: bytes.describe('length of the file'),
});

const disk = o({ name: z.string(), free: bytes, total: bytes });
const capacity = o({
  at: time,
  tables: z
    .array(
      o({
        table: z.string(),
        rows: count,
        bytes: bytes.describe('on disk, with indexes and marks'),
        compressed_bytes: bytes.describe('of its columns'),
        uncompressed_bytes: bytes.describe('of its columns'),
        ratio: maybe(z.number()).describe('uncompressed to compressed'),
        bytes_per_row: maybe(z.number()).describe('on disk'),
        parts: count,
        oldest: maybe(time),
        newest: maybe(time),
      }),
    )
    .describe('largest first; of a cluster, the sum of its shards'),
  database_bytes: bytes,
  growth: o({
    days: z
      .number()
      .describe('of which the pace is: the weeks asked for, or since the first events of them came'),
    events_per_day: count,
    bytes_per_day: maybe(bytes).describe('on disk, before any go; null where nothing came'),
    daily: z.array(o({ day: z.string(), events: count, bytes: bytes.describe('compressed, as metered') })),
  }),
  raw_retention_days: maybe(z.number()).describe('null for good'),
  projected: z.array(o({ days: count, bytes: bytes.describe('of the database on disk') })),
  disks: z.array(disk),
  limit_bytes: maybe(bytes),
  days_left: maybe(count).describe('at most 36500; null where nothing grows'),
  tenant_id: maybe(z.string()).describe('null for all tenants'),
  by_tenant: z
    .array(o({ tenant_id: z.string(), events: count, bytes }))
    .describe('stored events, at most 10'),
  tenants: count,
  tenants_bytes: bytes,
});
const exported = o({
  what: z.enum(['usage', 'firehose', 'dlq']),
  file: z.string(),
  file_format: z.enum(['parquet', 'csv', 'ndjson']),
  tenant_id: maybe(z.string()).describe('null for all tenants'),
  period,
  rows: count.describe('in the file, counted there'),
  total_events: maybe(count).describe('as usage reports them; null of dead letters'),
  total_bytes: maybe(bytes).describe('compressed bytes as stored, as usage reports them'),
  file_bytes: bytes.describe('length of the file'),
});

const quota = o({
  tenant_id: maybe(z.string()).describe('null for every tenant without one of its own'),
  monthly_events: maybe(count),
  monthly_bytes: maybe(bytes),
});
const monthName = z.string().describe('month, UTC: 2026-11');
const planVersion = {
  name: z.string(),
  version: count.describe('from 1'),
  effective_from: monthName,
  applied_at: time,
  text: z.string().describe('YAML, as it was applied'),
};
const assignment = {
  tenant_id: maybe(z.string()).describe('null for every tenant without a plan of its own'),
  plan: maybe(z.string()).describe('null: none from then on'),
  effective_from: monthName,
  assigned_at: time,
};
const changed = z.boolean().describe('whether it was not so before');
const alert = o({
  id: z.string(),
  tenant_id: maybe(z.string()),
  threshold_percent: z.number().optional().describe('of an alert on usage'),
  silent_seconds: count.optional().describe('of an alert on silence'),
  service_id: maybe(z.string()).optional(),
  notify_email: maybe(z.string()),
  notify_slack: z.boolean(),
  notify_webhook: maybe(z.string()),
});
const firing = {
  id: z.string(),
  kind: z.enum(['usage', 'silent', 'recovered', 'test']),
  alert_id: z.string(),
  tenant_id: z.string(),
  fired_at: time,
  service_id: maybe(z.string()).optional(),
  silent_seconds: count.optional(),
  last_event_at: time.optional(),
  month: z.string().optional(),
  late: z.boolean().optional(),
  dimension: z.enum(['events', 'bytes']).optional(),
  threshold_percent: z.number().optional(),
  used: count.optional(),
  quota: count.optional(),
  used_percent: z.number().optional(),
  days_left: z.number().optional(),
  full_at: maybe(time).optional(),
};
const channel = z.enum(['email', 'slack', 'webhook']);
const outcome = z.enum(['sending', 'delivered', 'failed', 'expired', 'dropped']);
const messageId = z.string().describe('the same in every attempt at a message');
const delivery = o({
  message_id: messageId,
  channel,
  target: z.string(),
  attempt: count,
  outcome,
  detail: z.string(),
});

const letter = {
  id: z.string(),
  received_at: time,
  tenant_id: maybe(z.string()),
  error: z.string().describe('the code of the first rule it breaks'),
  message: z.string(),
  source: z.string(),
  line: count,
  state: z.enum(['open', 'replayed']).describe('replayed: sent again, in a batch that counts'),
  excerpt: z.string().describe('the line as sent, at most 60 characters, from where it is wrong'),
};
const billed = {
  tenant_id: z.string(),
  month: z.string().describe('2026-11'),
  event_type: z.string(),
  events: count,
  bytes_received: bytes.describe('length of the lines as they are sent now'),
};
const staying = z
  .record(z.string(), count)
  .describe('letters that stay, by the rule they break, cut, or unsettled');
const key = {
  id: z.string(),
  tenant_id: z.string(),
  name: z.string(),
  created_at: time,
  revoked_at: maybe(time),
};
const batchesAndLines = { committed: count, aborted: count, redone: count };
const repair = o({
  tenant_id: z.string(),
  hour: time,
  event_type: z.string(),
  events_before: count,
  events_after: count,
  bytes_before: bytes,
  bytes_after: bytes,
});

const costRow = z
  .object({
    event_type: z.string().nullable().optional(),
    service_id: z.string().nullable().optional(),
    kind: kind.describe(
      'of a value; of events without the attribute; or of neither, as what is known of them is gone',
    ),
    events: count,
    bytes: bytes.describe('compressed bytes as stored'),
    amount,
    currency: z.string().describe('ISO 4217'),
  })
  .catchall(
    z.string().nullable().describe('by attribute: its value under attributes.KEY, null where there is none'),
  );
const costs = o({
  tenant_id: maybe(z.string()).describe('null for all tenants'),
  month: monthName,
  period,
  open: z.boolean().describe('whether the month still runs'),
  as_of: time.optional().describe('where it is told as of a time'),
  group_by: z.union([z.enum(['event_type', 'service_id']), z.string().startsWith('attributes.')]),
  weight: z.enum(['bytes', 'events']),
  tenants: z.array(
    o({
      tenant_id: z.string(),
      currency: z.string().describe('ISO 4217'),
      basis: z.union([
        o({ kind: z.literal('plan'), name: z.string(), version: maybe(z.int()) }),
        o({
          kind: z.literal('storage_price'),
          price: z.string().describe('exact'),
          per: z.literal('GB-month').describe('a GB is 10^9 bytes'),
        }),
      ]),
      parts: z.array(
        o({
          kind: z.enum(['usage', 'base_fee', 'minimum', 'adjustment']),
          month: monthName.describe('the month it is for: of an adjustment an earlier one'),
          amount,
        }),
      ),
      total: amount.describe('the sum of the parts, and of the amounts of the breakdown'),
      breakdown: z.array(costRow),
    }),
  ),
  without_plan: z.array(z.string()).describe('tenants with usage for which no plan is in force'),
  billed_later: z
    .array(o({ tenant_id: z.string(), month: monthName.describe('on whose bill it is an adjustment') }))
    .describe('tenants whose usage came after the month was closed'),
});

/** By the command's words. */
export const SHAPES = {
  ingest,
  usage,
  services: usage,
  billing: z.union([billing, explanation]),
  'billing backtest': backtest,
  'billing close': closing,
  'billing reopen': o(closingRecord),
  'billing history': closings,
  costs,
  report,
  export: exported,
  capacity,
  top,
  tenants: o({
    tenants: z.array(
      o({
        tenant_id: z.string(),
        events: count,
        bytes,
        bytes_received: bytes,
        first_hour: time,
        last_hour: time,
      }),
    ),
  }),
  'plans apply': o({ ...planVersion, changed }),
  'plans list': o({
    month: monthName,
    plans: z.array(
      o({
        name: planVersion.name,
        version: planVersion.version,
        effective_from: monthName,
        is_default: z.boolean().describe('whether tenants without a plan of their own have it'),
        tenants: z.array(z.string()).describe('that have it as their own'),
      }),
    ),
  }),
  'plans show': o({
    name: z.string(),
    month: monthName,
    version: maybe(count).describe('in force in that month'),
    text: maybe(z.string()),
    versions: z.array(o(planVersion)),
    assignments: z.array(o(assignment)).describe('of tenants that have had it'),
  }),
  'plans assign': o({ ...assignment, changed }),
  'plans unassign': o({ ...assignment, changed }),
  'quota set': quota,
  'quota unset': quota,
  'quota show': o({
    quotas: z.array(quota).optional().describe('without --history'),
    changes: z
      .array(quota.extend({ changed_at: time }))
      .optional()
      .describe('with --history'),
  }),
  'alerts add': alert,
  'alerts remove': alert,
  'alerts list': o({ alerts: z.array(alert) }),
  'alerts check': o({
    fired: z.array(o(firing)),
    deliveries: z.array(delivery),
    waiting: count.describe('messages that are not delivered yet'),
  }),
  'alerts test': o({ deliveries: z.array(delivery) }),
  'alerts history': o({
    alerts: z.array(
      o({
        ...firing,
        deliveries: z.array(
          o({
            channel,
            target: z.string(),
            message_id: z.string(),
            delivered: z.boolean(),
            attempts: z.array(o({ attempt: count, at: time, outcome, detail: z.string() })),
          }),
        ),
      }),
    ),
  }),
  'alerts undelivered': o({
    messages: z.array(
      o({
        message_id: messageId,
        channel,
        target: z.string(),
        state: z
          .enum(['waiting', 'sending', 'expired', 'dropped'])
          .describe('waiting: tried again by itself; expired: given up after 72 hours; dropped: by hand'),
        fired_at: time,
        attempts: count,
        last_attempt_at: maybe(time),
        detail: z.string().describe('what was said last'),
        next_attempt_at: maybe(time),
        alerts: z.array(o(firing)),
      }),
    ),
  }),
  'alerts retry': o({ deliveries: z.array(delivery) }),
  'alerts drop': o({
    dropped: z.array(o({ message_id: messageId, channel, target: z.string(), reason: z.string() })),
  }),
  'alerts simulate': o({
    from: z.string(),
    would_have_fired: z.array(
      o({
        month: z.string(),
        tenant_id: z.string(),
        threshold_percent: z.number(),
        dimension: z.enum(['events', 'bytes']),
        reached_at: time,
        used: count,
        quota: count,
      }),
    ),
  }),
  'dlq list': o({
    total: count,
    groups: z
      .array(
        o({
          error: z.string(),
          source: z.string(),
          tenant_id: maybe(z.string()),
          letters: count,
          first_received_at: time,
          last_received_at: time,
          example: z.string().describe('id of the newest of them'),
          excerpt: z.string(),
        }),
      )
      .optional()
      .describe('without --each'),
    letters: z.array(o(letter)).optional().describe('with --each'),
  }),
  'dlq show': o({
    ...letter,
    raw: maybe(z.string()).describe('the line as sent; null where it is not UTF-8'),
    raw_base64: maybe(z.string()).describe('then its bytes'),
    bytes: bytes.describe('of the line as sent; more than were kept where it was cut'),
    replay_of: maybe(z.string()).describe(
      'the letter that was replayed and rejected again, and became this one',
    ),
    replayed: maybe(
      o({
        at: time,
        changes: z.record(z.string(), z.unknown()).describe('fields that were set'),
        batch_id: z.string(),
        event: maybe(
          o({
            tenant_id: z.string(),
            event_type: z.string(),
            service_id: z.string(),
            timestamp: time,
            bytes_received: bytes,
          }),
        ),
        rejected_as: maybe(z.string()).describe('the letter it has become where it was rejected again'),
      }),
    ),
    violations: z.array(
      o({
        code: z.string(),
        message: z.string(),
        path: z.string(),
        found: z.string(),
        expected: z.string(),
      }),
    ),
  }),
  'dlq replay': z.union([
    o({
      dry_run: z.literal(true),
      selected: count.describe('passing + staying'),
      passing: count,
      staying,
      bytes_received: bytes,
      bill: z.array(o(billed)).describe('what would be added'),
      closed_months: late,
    }),
    o({
      dry_run: z.literal(false),
      selected: count.describe('replayed + rejected_again + left + staying'),
      replayed: count,
      rejected_again: count.describe('each has a second copy, which is open in its place'),
      left: count.describe('where it was interrupted'),
      staying,
      bytes_received: bytes,
      bytes_ingested: bytes.describe('compressed bytes as stored'),
      bill: z.array(o({ ...billed, bytes: bytes.describe('compressed bytes as stored') })),
      batches: z.array(z.string()),
      closed_months: late,
    }),
  ]),
  'dlq purge': o({
    dry_run: z.boolean(),
    received_before: time,
    letters: count,
    replayed: count,
    causes: z.array(o({ error: z.string(), letters: count, replayed: count })),
  }),
  'keys create': o({ ...key, key: z.string().describe('shown once, kept nowhere') }),
  'keys list': o({ keys: z.array(o(key)) }),
  'keys revoke': o(key),
  sql: o({
    columns: z.array(o({ name: z.string(), type: z.string().describe('as ClickHouse names it') })),
    rows: z.array(z.record(z.string(), z.unknown())).describe('values by column'),
    more: z.boolean().describe('whether --limit has cut off rows'),
  }),
  verify: o({
    ok: z.boolean().optional(),
    checks: z
      .array(o({ name: z.string(), compared: z.string(), rows: count, groups: count, differences: count }))
      .optional(),
    differences: z
      .array(o({ check: z.string(), where: z.string(), what: z.string(), expected: count, found: count }))
      .optional(),
    foreign_rows: count.optional(),
    pending_batches: count.optional(),
    raw_kept_since: maybe(time).optional(),
    dry_run: z.boolean().optional().describe('with --repair --dry-run, which has repairs alone'),
    repairs: z.array(repair),
  }),
  recover: o({
    ...batchesAndLines,
    set_aside: z.array(z.string()),
    elsewhere: z.array(z.string()),
    lines: o(batchesAndLines),
  }),
  doctor: o({
    ok: z.boolean(),
    checks: z.array(
      o({
        name: z.string(),
        status: z.enum(['ok', 'finding', 'skipped']),
        summary: z.string(),
        findings: z.array(
          o({
            code: z.string().describe('does not change with the words'),
            message: z.string(),
            fix: z.string().describe('the command that mends it, or what to do'),
          }),
        ),
        details: z.record(z.string(), z.unknown()).describe('the figures behind it; they differ by check'),
      }),
    ),
  }),
  init: o({
    server: z.string().optional(),
    data_dir: z.string().optional(),
    database: z.string(),
    engine_version: z.string(),
    raw_retention_seconds: maybe(count),
  }),
  demo: o({
    steps: z.array(
      o({ command: z.string(), result: z.unknown().describe('what that command prints with --json') }),
    ),
  }),
};

/** The JSON Schemas, by file name. */
export function schemas() {
  return Object.fromEntries(
    Object.entries(SHAPES).map(([command, shape]) => {
      const { $schema, ...schema } = z.toJSONSchema(shape, { target: 'draft-2020-12', override: unbounded });
      const title = `infrasage ${command} --json`;
      return [`${command.replace(' ', '-')}.schema.json`, { $schema, title, ...schema }];
    }),
  );
}

/** Integers have 64 bits here, not those of a JavaScript number. */
function unbounded({ jsonSchema }) {
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
}

/** A schema as its file has it. */
export function textOf(schema) {
  return `${JSON.stringify(schema, null, 2)}\n`;
}

const FOLDER = new URL('../docs/json/', import.meta.url);
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const name of readdirSync(FOLDER)) rmSync(new URL(name, FOLDER));
  for (const [name, schema] of Object.entries(schemas()))
    writeFileSync(new URL(name, FOLDER), textOf(schema));
}
