-- Tables of the ingest pipeline. Applied once, in number order; never edited
-- after a release, only followed by the next number. {{db}} is the database,
-- already quoted.

-- What the operator hands over: one row a line, with the options of its batch.
-- Null engine: nothing is stored here, the views read the block as it passes.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_landing
(
    line            String,
    line_number     UInt64,
    line_length     UInt64 COMMENT 'bytes as sent; more than length(line) where the line was cut',
    batch_id        LowCardinality(String),
    source          LowCardinality(String),
    received_at     DateTime64(3, 'UTC'),
    default_tenant  LowCardinality(Nullable(String)),
    default_type    LowCardinality(Nullable(String)),
    strict          UInt8,
    assume_utc      UInt8,
    max_age_seconds UInt64 COMMENT '0 = no limit',
    max_line        UInt64
)
ENGINE = Null;

-- One row a line with its verdict: error is empty for an accepted event.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_parsed
(
    error        LowCardinality(String),
    line         String,
    line_number  UInt64,
    line_length  UInt64,
    batch_id     LowCardinality(String),
    source       LowCardinality(String),
    received_at  DateTime64(3, 'UTC'),
    max_line     UInt64,
    tenant_id    LowCardinality(String),
    timestamp    DateTime64(3, 'UTC'),
    event_type   LowCardinality(String),
    service_id   LowCardinality(String),
    metric_name  LowCardinality(String),
    value        Nullable(Float64),
    body         String,
    trace_id     String,
    attributes   Map(LowCardinality(String), String),
    extra        String
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
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, merge_selector_base = 16;

-- Hourly usage, one row a batch, tenant, hour and type, fed by a view on the
-- firehose. After seven days the rows of an hour are rolled up into one, with
-- an empty batch_id: by then no recovery asks for a batch any more.
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
        ingested_at = max(ingested_at)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, merge_selector_base = 16;

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
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, merge_selector_base = 16;

-- The batch ledger. A batch has one row a state, the highest revision wins:
-- 1 pending (durable before any row of the batch), 2 committed or aborted.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_ingest_batches
(
    batch_id       String COMMENT 'key#attempt',
    key            String COMMENT 'SHA-256, hex, of the previous key and the bytes of the batch',
    previous_key   String,
    head           String COMMENT 'hash of the start of its first line',
    attempt        UInt32,
    revision       UInt8,
    state          LowCardinality(String),
    source         String,
    once           UInt8 COMMENT 'its input cannot be read again: its spool file is kept until it is settled',
    spooled        UInt64 COMMENT 'bytes of its spool file',
    first_line     UInt64,
    source_lines   UInt64 COMMENT 'lines it covers, blank ones included',
    lines          UInt64 COMMENT 'events in it: blank lines not counted',
    bytes          UInt64 COMMENT 'length of the input it covers, line endings included',
    crlf           UInt8,
    blank          UInt8,
    cut            String COMMENT 'lines over the limit, JSON',
    accepted       UInt64,
    rejected       UInt64,
    bytes_received UInt64,
    bytes_ingested UInt64,
    owner          String COMMENT 'the process that wrote it, JSON: host, pid and start time',
    options        String COMMENT 'what the lines were validated with, JSON',
    received_at    DateTime64(3, 'UTC') COMMENT 'ingested_at of all its rows',
    recorded_at    DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (previous_key, key, attempt)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
