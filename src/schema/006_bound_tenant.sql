-- Lines that come with credentials are bound to their tenant, and requests may
-- bring a key with which a retry of them is recognised.

ALTER TABLE {{db}}.infrasage_landing
    ADD COLUMN IF NOT EXISTS tenant_bound UInt8 COMMENT '1: only events of default_tenant are taken';

ALTER TABLE {{db}}.infrasage_parsed
    ADD COLUMN IF NOT EXISTS foreign_tenant UInt8 COMMENT '1: names another tenant than the one it is bound to';

ALTER TABLE {{db}}.infrasage_ingest_batches
    ADD COLUMN IF NOT EXISTS bindings String DEFAULT '[]' COMMENT 'from which line on lines are bound to which tenant, JSON';

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
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
