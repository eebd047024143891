-- parsed -> dead letters: what failed, byte for byte.
CREATE MATERIALIZED VIEW IF NOT EXISTS {{db}}.infrasage_reject_view TO {{db}}.infrasage_dlq AS
SELECT
    received_at,
    tenant_id,
    error,
    multiIf(
        error = 'line_too_long', concat('the line has ', toString(line_length), ' bytes, the limit is ', toString(max_line), '; the first ', toString(length(p.line)), ' bytes were kept'),
        error = 'invalid_json', 'the line is not valid JSON',
        error = 'not_an_object', 'the line is valid JSON but not an object',
        error = 'duplicate_key', 'a top-level key occurs more than once',
        startsWith(error, 'missing_'), concat(substring(error, 9), ' is missing'),
        error = 'invalid_tenant_id' AND foreign_tenant, 'tenant_id is not the tenant of the credentials it was sent with',
        error = 'timestamp_in_future', 'timestamp is more than 24 hours in the future',
        error = 'timestamp_too_old', 'timestamp is older than --max-age allows, or before 2000',
        concat(substring(error, 9), ' is not valid')) AS message,
    p.line AS raw,
    source,
    p.line_number AS line,
    batch_id
FROM {{db}}.infrasage_parsed AS p
WHERE error != ''
