-- parsed -> accepted: what passed, in the firehose's order.
CREATE MATERIALIZED VIEW IF NOT EXISTS {{db}}.infrasage_accept_view TO {{db}}.infrasage_accepted AS
SELECT
    tenant_id, timestamp, event_type, service_id, metric_name, value, body, trace_id, attributes, extra,
    toUInt32(line_length) AS bytes_received,
    batch_id,
    received_at AS ingested_at
FROM {{db}}.infrasage_parsed
WHERE error = ''
ORDER BY tenant_id, service_id, event_type, timestamp
