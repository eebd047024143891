-- Raw rows may have a term (infrasage init --raw-retention), while the metering
-- stays: of an hour, its oldest raw row says whether all of them are there to be
-- held against it.
ALTER TABLE {{db}}.infrasage_usage_metering
    ADD COLUMN IF NOT EXISTS ingested_from DateTime64(3, 'UTC') DEFAULT ingested_at COMMENT 'the earliest ingested_at of what was rolled up into it';

ALTER TABLE {{db}}.infrasage_usage_metering
    MODIFY TTL toDateTime(ingested_at) + INTERVAL 7 DAY
    GROUP BY tenant_id, hour, event_type
    SET event_count = sum(event_count),
        bytes_ingested = sum(bytes_ingested),
        bytes_received = sum(bytes_received),
        batch_id = substring(min(batch_id), 1, 0),
        ingested_at = max(ingested_at),
        ingested_from = min(ingested_from)
    SETTINGS materialize_ttl_after_modify = 0;

-- The terms there were. A longer term does not bring back what a shorter one has removed.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_raw_terms
(
    changed_at  DateTime64(3, 'UTC'),
    seconds     UInt64 COMMENT '0 for good',
    gone_before DateTime64(3, 'UTC') COMMENT 'what was ingested before may be gone by the term that was in force until then'
)
ENGINE = MergeTree
ORDER BY changed_at
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
