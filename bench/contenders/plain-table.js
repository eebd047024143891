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
