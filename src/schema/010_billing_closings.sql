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
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

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
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- By what they were billed, of each tenant and month of a closing.
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
    thresholds   String COMMENT 'percentages, JSON'
)
ENGINE = ReplacingMergeTree
ORDER BY (closing_id, tenant_id, month)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
