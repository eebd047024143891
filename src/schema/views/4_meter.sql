-- firehose -> metering: whatever writes to the firehose is counted, hourly.
CREATE MATERIALIZED VIEW IF NOT EXISTS {{db}}.infrasage_meter_view TO {{db}}.infrasage_usage_metering AS
SELECT
    f.tenant_id AS tenant_id,
    toStartOfHour(f.timestamp) AS hour,
    f.event_type AS event_type,
    count() AS event_count,
    sum(f.bytes_ingested) AS bytes_ingested,
    sum(f.bytes_received) AS bytes_received,
    f.batch_id AS batch_id,
    f.ingested_at AS ingested_at
FROM {{db}}.infrasage_raw_firehose AS f
GROUP BY tenant_id, hour, event_type, batch_id, ingested_at
