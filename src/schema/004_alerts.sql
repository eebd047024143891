-- Quotas keep their history: each change is a row of its own, since with the
-- revision in the sorting key no merge replaces one by another. 0 = no limit.
ALTER TABLE {{db}}.infrasage_quotas
    ADD COLUMN IF NOT EXISTS monthly_bytes UInt64 COMMENT 'compressed bytes as stored' AFTER monthly_events;

ALTER TABLE {{db}}.infrasage_quotas
    ADD COLUMN IF NOT EXISTS revision UInt64 COMMENT 'equals version; 0 for what was set before there was a history',
    MODIFY ORDER BY (tenant_id, revision);

-- Alerts of a second kind: a tenant or service that stops sending.
ALTER TABLE {{db}}.infrasage_alert_thresholds
    ADD COLUMN IF NOT EXISTS silent_seconds UInt64 COMMENT '0 for a usage threshold; then threshold_percent is 0' AFTER threshold_percent,
    ADD COLUMN IF NOT EXISTS service_id String COMMENT 'of a silence alert; empty for any service' AFTER silent_seconds,
    ADD COLUMN IF NOT EXISTS created_at DateTime64(3, 'UTC') DEFAULT changed_at COMMENT 'kept when the alert is updated';

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
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

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
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
