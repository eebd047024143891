-- What merges and mutations make is on the disk when it takes the place of what it was made from. The embedded engine
-- keeps that for half a minute at most, where a server does for eight: by then the system may not have written it, and
-- a power failure could take events that were long committed.
ALTER TABLE {{db}}.infrasage_raw_firehose
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_usage_metering
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_dlq
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_ingest_batches
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_quotas
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_alert_thresholds
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_repairs
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_alert_firings
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_alert_deliveries
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_api_keys
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_idempotency_keys
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_raw_terms
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_dlq_replays
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_dlq_purges
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_price_plans
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_plan_assignments
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_billing_closings
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_billed_figures
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE {{db}}.infrasage_billed_terms
    MODIFY SETTING min_compressed_bytes_to_fsync_after_merge = 1;
