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
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
