-- The tables as they are now: what a new database of the embedded engine is
-- made of, instead of the numbered files one after the other, of which a test
-- holds that they come to the same. {{db}} is the database, already quoted. No
-- statement here needs another one's table: several run at once.
--
-- What is stored is on the disk when the statement that stores it is done, and
-- so is what merges and mutations make of it: the embedded engine removes what
-- they were made from within half a minute, before the system may have written
-- their result.

-- One row a line with its verdict: error is empty for an accepted event. Lines
-- are judged in the INSERT that brings them, in small blocks, of which only
-- what is stored is kept for the one block of the batch. Null engine: nothing
-- is stored here, the views read the block as it passes.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_parsed
(
    error          LowCardinality(String),
    line           String,
    line_number    UInt64,
    line_length    UInt64,
    batch_id       LowCardinality(String),
    source         LowCardinality(String),
    received_at    DateTime64(3, 'UTC'),
    max_line       UInt64,
    tenant_id      LowCardinality(String),
    timestamp      DateTime64(3, 'UTC'),
    event_type     LowCardinality(String),
    service_id     LowCardinality(String),
    metric_name    LowCardinality(String),
    value          Nullable(Float64),
    body           String,
    trace_id       String,
    attributes     Map(LowCardinality(String), String),
    extra          String,
    foreign_tenant UInt8 COMMENT '1: names another tenant than the one it is bound to'
)
ENGINE = Null;

-- The accepted events of a block in the firehose's own order, so that the
-- compression estimated on the block is that of the part it becomes.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_accepted
(
    tenant_id      LowCardinality(String),
    timestamp      DateTime64(3, 'UTC'),
    event_type     LowCardinality(String),
    service_id     LowCardinality(String),
    metric_name    LowCardinality(String),
    value          Nullable(Float64),
    body           String,
    trace_id       String,
    attributes     Map(LowCardinality(String), String),
    extra          String,
    bytes_received UInt32,
    batch_id       LowCardinality(String),
    ingested_at    DateTime64(3, 'UTC')
)
ENGINE = Null;

-- Accepted events. bytes_ingested is each event's share of the compressed size
-- of the insert it came with, frozen at ingest. Rows that others insert without
-- it are metered at an eighth of their uncompressed field bytes.
-- ingested_at is one value a batch and recorded in the ledger, so that its
-- minmax index finds the few parts of a batch without a scan.
-- Merges take its columns one after another: all at once, as the engine does
-- for tables with so few, a merge of 15 parts held 146 MB instead of 56 MB, and
-- one of events in the order of their time took 2.5 CPU-seconds a million rows
-- instead of 1.1. And they take 24 parts at most, not 100: merging 387 parts
-- took 599 MB then and not 1,193.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_raw_firehose
(
    tenant_id      LowCardinality(String) CODEC(ZSTD(1)),
    timestamp      DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    event_type     LowCardinality(String) CODEC(ZSTD(1)),
    service_id     LowCardinality(String) CODEC(ZSTD(1)),
    metric_name    LowCardinality(String) CODEC(ZSTD(1)),
    value          Nullable(Float64) CODEC(ZSTD(1)),
    body           String CODEC(ZSTD(1)),
    trace_id       String CODEC(ZSTD(1)),
    attributes     Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    extra          String CODEC(ZSTD(1)),
    bytes_received UInt32 DEFAULT toUInt32(length(tenant_id) + length(event_type) + length(service_id)
        + length(metric_name) + length(body) + length(trace_id) + length(toJSONString(attributes)) + length(extra)
        + if(isNull(value), 0, 8) + 24) CODEC(ZSTD(1)),
    bytes_ingested UInt32 DEFAULT intDiv(bytes_received, 8) + 1 CODEC(ZSTD(1)),
    batch_id       LowCardinality(String) CODEC(ZSTD(1)),
    ingested_at    DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta, ZSTD(1)),
    INDEX ingested_at_range ingested_at TYPE minmax GRANULARITY 64,
    PROJECTION by_service
    (
        SELECT
            tenant_id, service_id, event_type, toStartOfHour(timestamp),
            count(), sum(bytes_ingested), sum(bytes_received)
        GROUP BY tenant_id, service_id, event_type, toStartOfHour(timestamp)
    )
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (tenant_id, service_id, event_type, timestamp)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    merge_selector_base = 16, vertical_merge_algorithm_min_columns_to_activate = 1, max_parts_to_merge_at_once = 24;

-- Hourly usage, one row a batch, tenant, hour and type, fed by a view on the
-- firehose. After seven days the rows of an hour are rolled up into one, with
-- an empty batch_id: by then no recovery asks for a batch any more. Raw rows
-- may have a term (infrasage init --raw-retention), while the metering stays: of
-- an hour, its oldest raw row says whether all of them are there to be held
-- against it.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_usage_metering
(
    tenant_id      LowCardinality(String),
    hour           DateTime('UTC'),
    event_type     LowCardinality(String),
    event_count    UInt64,
    bytes_ingested UInt64,
    bytes_received UInt64,
    batch_id       LowCardinality(String),
    ingested_at    DateTime64(3, 'UTC'),
    ingested_from  DateTime64(3, 'UTC') DEFAULT ingested_at COMMENT 'the earliest ingested_at of what was rolled up into it',
    INDEX ingested_at_range ingested_at TYPE minmax GRANULARITY 64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(hour)
PRIMARY KEY (tenant_id, hour, event_type)
ORDER BY (tenant_id, hour, event_type, batch_id)
TTL toDateTime(ingested_at) + INTERVAL 7 DAY
    GROUP BY tenant_id, hour, event_type
    SET event_count = sum(event_count),
        bytes_ingested = sum(bytes_ingested),
        bytes_received = sum(bytes_received),
        batch_id = substring(min(batch_id), 1, 0),
        ingested_at = max(ingested_at),
        ingested_from = min(ingested_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1, merge_selector_base = 16;

-- Dead letters: rejected lines with their exact bytes. Never metered.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_dlq
(
    received_at DateTime64(3, 'UTC'),
    tenant_id   LowCardinality(String) COMMENT 'empty where it is not known',
    error       LowCardinality(String),
    message     String CODEC(ZSTD(1)),
    raw         String COMMENT 'the line as sent, without its ending; of a line that is too long, the first 64 KiB' CODEC(ZSTD(1)),
    source      LowCardinality(String),
    line        UInt64 COMMENT 'number in the source, from 1',
    batch_id    LowCardinality(String),
    INDEX received_at_range received_at TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (batch_id, line)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1, merge_selector_base = 16;

-- The batch ledger. A batch has one row a state, the highest revision wins:
-- 1 pending (durable before any row of the batch), 2 committed or aborted. Most
-- of it are hashes in hexadecimal digits, which are shorter by more than a
-- dictionary: 170 bytes a batch, where the default takes 267.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_ingest_batches
(
    batch_id       String COMMENT 'key#attempt' CODEC(ZSTD(1)),
    key            String COMMENT 'SHA-256, hex, of the previous key and the bytes of the batch' CODEC(ZSTD(1)),
    previous_key   String CODEC(ZSTD(1)),
    head           String COMMENT 'hash of the start of its first line' CODEC(ZSTD(1)),
    attempt        UInt32,
    revision       UInt8,
    state          LowCardinality(String),
    source         String CODEC(ZSTD(1)),
    once           UInt8 COMMENT 'its input cannot be read again: its spool file is kept until it is settled',
    spooled        UInt64 COMMENT 'bytes of its spool file',
    first_line     UInt64,
    source_lines   UInt64 COMMENT 'lines it covers, blank ones included',
    lines          UInt64 COMMENT 'events in it: blank lines not counted',
    bytes          UInt64 COMMENT 'length of the input it covers, line endings included',
    crlf           UInt8,
    blank          UInt8,
    cut            String COMMENT 'lines over the limit, JSON' CODEC(ZSTD(1)),
    accepted       UInt64,
    rejected       UInt64,
    bytes_received UInt64,
    bytes_ingested UInt64,
    owner          String COMMENT 'the process that wrote it, JSON: host, pid and start time' CODEC(ZSTD(1)),
    options        String COMMENT 'what the lines were validated with, JSON' CODEC(ZSTD(1)),
    received_at    DateTime64(3, 'UTC') COMMENT 'ingested_at of all its rows',
    recorded_at    DateTime64(3, 'UTC'),
    bindings       String DEFAULT '[]' COMMENT 'from which line on lines are bound to which tenant, JSON'
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (previous_key, key, attempt)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- Monthly event quotas and usage thresholds. Latest version of a row wins;
-- a removed one stays with its deleted flag. tenant_id is empty for what
-- applies to every tenant that has none of its own. Quotas keep their history:
-- each change is a row of its own, since with the revision in the sorting key no
-- merge replaces one by another. 0 = no limit.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_quotas
(
    tenant_id      String,
    monthly_events UInt64,
    monthly_bytes  UInt64 COMMENT 'compressed bytes as stored',
    deleted        UInt8,
    version        UInt64,
    changed_at     DateTime64(3, 'UTC'),
    revision       UInt64 COMMENT 'equals version; 0 for what was set before there was a history'
)
ENGINE = ReplacingMergeTree(version)
PRIMARY KEY tenant_id
ORDER BY (tenant_id, revision)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- Two kinds of alerts: a share of the quota, or a tenant or service that stops sending.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_alert_thresholds
(
    id                String,
    tenant_id         String,
    threshold_percent Decimal(7, 2),
    silent_seconds    UInt64 COMMENT '0 for a usage threshold; then threshold_percent is 0',
    service_id        String COMMENT 'of a silence alert; empty for any service',
    notify_email      String COMMENT 'address, empty for none',
    notify_slack      UInt8,
    notify_webhook    String COMMENT 'URL, empty for none',
    deleted           UInt8,
    version           UInt64,
    changed_at        DateTime64(3, 'UTC'),
    created_at        DateTime64(3, 'UTC') DEFAULT changed_at COMMENT 'kept when the alert is updated'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant_id, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- What verify --repair has changed in the metering: figures before and after.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_repairs
(
    repaired_at    DateTime64(3, 'UTC'),
    tenant_id      String,
    hour           DateTime('UTC'),
    event_type     String,
    events_before  UInt64,
    events_after   UInt64,
    bytes_before   UInt64,
    bytes_after    UInt64
)
ENGINE = MergeTree
ORDER BY (repaired_at, tenant_id, hour, event_type)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- What has fired, once each: the id is made of what makes it one. All firings
-- of one evaluation are one insert, with the channels they go to: what is to
-- be sent follows from these rows, so that a crash leaves no firing unsent.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_alert_firings
(
    id                String,
    digest            String COMMENT 'the evaluation: its firings are sent together',
    kind              LowCardinality(String) COMMENT 'usage, silent or recovered',
    alert_id          String,
    tenant_id         String,
    service_id        String COMMENT 'of a silence; empty for any service',
    month             String COMMENT '2026-11, of usage',
    dimension         LowCardinality(String) COMMENT 'events or bytes, of usage',
    threshold_percent Decimal(7, 2),
    level             UInt64 COMMENT 'usage that had to be reached',
    used              UInt64,
    quota             UInt64,
    silent_seconds    UInt64,
    last_event_at     DateTime64(3, 'UTC') COMMENT 'of a silence',
    fired_at          DateTime64(3, 'UTC'),
    notify_email      String,
    notify_slack      UInt8,
    notify_webhook    String
)
ENGINE = ReplacingMergeTree
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- Every attempt to send a message: revision 1 when it begins, 2 with its outcome.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_alert_deliveries
(
    message_id  String,
    attempt     UInt32,
    revision    UInt8,
    channel     LowCardinality(String),
    outcome     LowCardinality(String) COMMENT 'sending, delivered, failed or expired',
    detail      String COMMENT 'what the other side said; no secrets',
    started_at  DateTime64(3, 'UTC'),
    next_at     DateTime64(3, 'UTC') COMMENT 'not to be tried again before'
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (message_id, attempt)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- API keys: of each, only its hash is kept. Latest version of a row wins; a
-- revoked one stays, with the time it was revoked as its last change.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_api_keys
(
    id         String,
    tenant_id  String,
    name       String,
    hash       String COMMENT 'SHA-256 of the key, hex',
    revoked    UInt8,
    version    UInt64,
    created_at DateTime64(3, 'UTC'),
    changed_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant_id, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- One row an attempt at a request with an Idempotency-Key, durable before any
-- row of its batch. It counts where the batch was committed.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_idempotency_keys
(
    key_hash     String COMMENT 'SHA-256, hex, of who sent it and the key',
    fingerprint  String COMMENT 'SHA-256, hex, of the body; of a stream, of its start',
    previous_key String COMMENT 'of the batch its lines are in; of a stream, of its first batch',
    key          String COMMENT 'of that batch; empty for a stream, which is a chain of batches',
    first_line   UInt64,
    source_lines UInt64,
    lines        UInt64,
    recorded_at  DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY key_hash
TTL toDateTime(recorded_at) + INTERVAL 2 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- The terms there were. A longer term does not bring back what a shorter one has removed.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_raw_terms
(
    changed_at  DateTime64(3, 'UTC'),
    seconds     UInt64 COMMENT '0 for good',
    gone_before DateTime64(3, 'UTC') COMMENT 'what was ingested before may be gone by the term that was in force until then'
)
ENGINE = MergeTree
ORDER BY changed_at
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- Dead letters that were sent again (infrasage dlq replay), one row a letter and
-- batch, durable before any row of the batch. It counts where the batch was
-- committed: such a letter is not sent again any more. Which event a letter has
-- become: the one of that batch with this tenant, type, service and timestamp.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_dlq_replays
(
    letter_batch   String COMMENT 'batch_id of the dead letter',
    letter_line    UInt64 COMMENT 'line of the dead letter',
    previous_key   String COMMENT 'of the batch it was sent again in',
    key            String COMMENT 'of that batch',
    line           UInt64 COMMENT 'its number in that batch',
    changes        LowCardinality(String) COMMENT 'the fields that were set in it, JSON',
    tenant_id      LowCardinality(String),
    event_type     LowCardinality(String),
    service_id     LowCardinality(String),
    timestamp      DateTime64(3, 'UTC'),
    bytes_received UInt32 COMMENT 'length of the line as it was sent again',
    recorded_at    DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (letter_batch, letter_line, key)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- What infrasage dlq purge has removed, by batch, cause and tenant. Letters that
-- share these three go together: they are either all there, or all gone.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_dlq_purges
(
    purge_id        String,
    revision        UInt8 COMMENT '1 written before the letters are removed, 2 when they are gone',
    batch_id        String,
    error           LowCardinality(String),
    tenant_id       LowCardinality(String),
    letters         UInt64,
    replayed        UInt64 COMMENT 'of these, those that had been sent again',
    received_before DateTime64(3, 'UTC') COMMENT 'the age that was asked for',
    recorded_at     DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (batch_id, error, tenant_id, purge_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- Price plans (infrasage plans apply), each version with the text of its file, and
-- which tenants have them. Rows are only added. What is in force in a month: of the
-- rows that are effective from it or an earlier one, that of the latest such month;
-- of several, the latest version.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_price_plans
(
    name           String,
    version        UInt64 COMMENT 'from 1, by name',
    effective_from String COMMENT 'month, like 2026-11',
    text           String COMMENT 'YAML, as it was applied',
    changed_at     DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (name, version)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS {{db}}.infrasage_plan_assignments
(
    tenant_id      String COMMENT 'empty for every tenant that has no plan of its own',
    version        UInt64 COMMENT 'from 1, by tenant',
    plan           String COMMENT 'its name; empty: none from then on',
    effective_from String COMMENT 'month, like 2026-11',
    changed_at     DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant_id, version)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- Months that were closed and reopened (infrasage billing close), the audit log:
-- of each month, the last row says whether it is closed. Of a closing, what was
-- billed is in the two other tables under its id, written before; it counts from
-- this row on.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_billing_closings
(
    number                UInt64 COMMENT 'from 1, in the order in which they were made',
    month                 String COMMENT '2026-10',
    action                LowCardinality(String) COMMENT 'close or reopen',
    closing_id            String COMMENT 'of a reopening, the closing that it undoes',
    reason                String COMMENT 'of a reopening, or of a closing that something stood against',
    overridden            String COMMENT 'what stood against it, JSON',
    user                  String COMMENT 'of the operating system',
    host                  String,
    events_before         UInt64 COMMENT 'billed for the month until then; 0 where it was not closed before',
    bytes_ingested_before UInt64,
    bytes_received_before UInt64,
    events                UInt64 COMMENT 'of a closing, what was billed; of a reopening, what was metered then',
    bytes_ingested        UInt64,
    bytes_received        UInt64,
    recorded_at           DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY number
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- The figures that a closing has billed: those of its month, and of earlier ones
-- what had changed since they were billed, with its sign.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_billed_figures
(
    closing_id     String,
    tenant_id      String,
    month          String COMMENT 'that the events are of',
    event_type     LowCardinality(String),
    events         Int64,
    bytes_ingested Int64,
    bytes_received Int64
)
ENGINE = ReplacingMergeTree
ORDER BY (closing_id, tenant_id, month, event_type)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- By what they were billed, of each tenant and month of a closing: the lines
-- with their quantities, prices and amounts, and the digits of the currency, so
-- that what is printed of a closed month is not computed anew by a later program.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_billed_terms
(
    closing_id   String,
    tenant_id    String,
    month        String COMMENT 'that the events are of',
    plan         String COMMENT 'empty for none',
    plan_version UInt64,
    plan_text    String COMMENT 'YAML, as it was applied',
    currency     String,
    amount       String COMMENT 'of its lines, or of the adjustment, decimal; empty without a plan',
    quota_events UInt64 COMMENT '0 for none',
    quota_bytes  UInt64 COMMENT '0 for none',
    thresholds   String COMMENT 'percentages, JSON',
    lines        String COMMENT 'JSON; empty without a plan, and of an adjustment',
    digits       String COMMENT 'of the minor unit; empty without a plan, and of closings from before'
)
ENGINE = ReplacingMergeTree
ORDER BY (closing_id, tenant_id, month)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;
