// A table for events as one would make it by hand: that of the contenders that are not infrasage.

export const COLUMNS = `
  tenant_id LowCardinality(String),
  timestamp DateTime64(3, 'UTC'),
  event_type LowCardinality(String),
  service_id LowCardinality(String),
  metric_name Nullable(String),
  value Nullable(Float64),
  body Nullable(String),
  trace_id Nullable(String),
  attributes Map(String, String)`;

export const PLAIN_TABLE = `CREATE TABLE plain.events (${COLUMNS})
  ENGINE = MergeTree PARTITION BY toYYYYMM(timestamp) ORDER BY (tenant_id, timestamp)`;

/** What is stored of it, once its parts are merged: rows, and bytes on disk. */
export const STORED = `SELECT sum(rows), sum(bytes_on_disk) FROM system.parts
  WHERE active AND database = 'plain' AND table = 'events' FORMAT TSV`;
