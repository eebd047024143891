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
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
