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
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

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
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
