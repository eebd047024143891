-- What processes on several machines need to work with one server: locks,
-- which ClickHouse has none of. Made before anything else on a server; the
-- embedded engine has its locks in its process and needs none of this.

-- Processes that hold locks. One that does not renew its term may be taken
-- for gone, by a row in infrasage_fences; the highest version wins.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_sessions
(
    session    String,
    owner      String COMMENT 'the process, JSON',
    until      DateTime64(3, 'UTC') COMMENT 'by the clock of the server',
    version    UInt64,
    changed_at DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
ORDER BY session
TTL changed_at + INTERVAL 7 DAY;

-- Who has, or waits for, which lock (src/store/server/row-locks.ts); the
-- highest version wins.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_locks
(
    name       String,
    holder     String COMMENT 'one claim to the lock',
    session    String,
    mode       LowCardinality(String) COMMENT 'exclusive or shared',
    state      LowCardinality(String) COMMENT 'choosing, waiting or released',
    ticket     UInt64 COMMENT 'place in the line',
    version    UInt64,
    changed_at DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (name, holder)
TTL changed_at + INTERVAL 7 DAY
SETTINGS index_granularity = 256;

-- Sessions and batches of which nothing may be written any more. Every insert
-- asks here as it begins; this, not a clock, is what keeps a process that was
-- suspended from writing beside the one that took over from it.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_fences
(
    id        String COMMENT 'of a session or of a batch',
    fenced_at DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree
ORDER BY id
TTL fenced_at + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
