-- Monthly event quotas and usage thresholds. Latest version of a row wins;
-- a removed one stays with its deleted flag. tenant_id is empty for what
-- applies to every tenant that has none of its own.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_quotas
(
    tenant_id      String,
    monthly_events UInt64,
    deleted        UInt8,
    version        UInt64,
    changed_at     DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY tenant_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS {{db}}.infrasage_alert_thresholds
(
    id                String,
    tenant_id         String,
    threshold_percent Decimal(7, 2),
    notify_email      String COMMENT 'address, empty for none',
    notify_slack      UInt8,
    notify_webhook    String COMMENT 'URL, empty for none',
    deleted           UInt8,
    version           UInt64,
    changed_at        DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant_id, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
