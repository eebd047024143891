-- The event contract, as the engine decides it: one row in, one row out, with
-- the code of the first rule that fails (docs/event-contract.md) or ''; its columns
-- are those of infrasage_parsed, in that order.
-- src/ingest/judge.ts states the same rules for people; a property test holds
-- the two against each other.
--
-- Cheap checks over whole columns find the few lines that may break a rule
-- (suspect); only those are examined rule by rule. What is measured here is
-- CPU-seconds per million lines of 220 bytes:
--   JSONExtract to a tuple 0.45, JSONLength 0.2, each further JSON function 0.2.
-- JSONExtract coerces ("12" and true become numbers, 5 becomes '5'), so a value
-- whose text could be a JSON literal of another type is suspect, and JSONType
-- decides. `usual` holds where every member of the object is a field of the
-- contract that is present once and not null; only other lines are split into
-- members to find repeated keys and fields outside the contract.
WITH
    'Tuple(tenant_id LowCardinality(Nullable(String)), service_id LowCardinality(Nullable(String)), event_type LowCardinality(Nullable(String)), type LowCardinality(Nullable(String)), timestamp String, metric_name LowCardinality(Nullable(String)), value Nullable(Float64), body String, trace_id String, attributes Map(LowCardinality(String), String))' AS shape,
    ('tenant_id', 'service_id', 'event_type', 'type', 'timestamp', 'metric_name', 'value', 'body', 'trace_id', 'attributes') AS contract_fields,
    -- how the text of a JSON number, array, object or boolean starts, or reads
    (45, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 91, 123) AS literal_start,
    ('true', 'false') AS literal_word,
    -- what the engine's own reader of times takes right: it reads the year 0000 as none and at most 19 digits of a fraction
    '^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$' AS rfc3339_usual,
    '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$' AS rfc3339,
    '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]+)?$' AS local_time,
    '"(?:[^"\\\\]|\\\\.)*"|-?[0-9][0-9.e+-]*|[^"0-9-]+' AS json_token,
    toDateTime64('2000-01-01 00:00:00', 3, 'UTC') AS earliest
SELECT
    if(suspect, multiIf(
        line_length > max_line, 'line_too_long',
        NOT isValidJSON(line), 'invalid_json',
        JSONType(line) != 'Object', 'not_an_object',
        repeated_key, 'duplicate_key',
        isNull(tenant), 'missing_tenant_id',
        bad_tenant OR foreign_tenant OR JSONType(line, 'tenant_id') NOT IN ('String', 'Null'), 'invalid_tenant_id',
        isNull(e.service_id), 'missing_service_id',
        bad_service OR JSONType(line, 'service_id') != 'String', 'invalid_service_id',
        isNull(type), 'missing_event_type',
        bad_type, 'invalid_event_type',
        JSONType(line, 'timestamp') = 'Null', 'missing_timestamp',
        time_text = '' OR isNull(time), 'invalid_timestamp',
        timestamp > latest, 'timestamp_in_future',
        timestamp < oldest, 'timestamp_too_old',
        JSONType(line, 'metric_name') NOT IN ('String', 'Null'), 'invalid_metric_name',
        JSONType(line, 'value') NOT IN ('Int64', 'UInt64', 'Double', 'Null'), 'invalid_value',
        JSONType(line, 'body') NOT IN ('String', 'Null'), 'invalid_body',
        JSONType(line, 'trace_id') NOT IN ('String', 'Null'), 'invalid_trace_id',
        JSONType(line, 'attributes') NOT IN ('Object', 'Null'), 'invalid_attributes',
        strict AND type NOT IN ('log', 'event') AND isNull(e.metric_name), 'missing_metric_name',
        strict AND type NOT IN ('log', 'event') AND isNull(e.value), 'missing_value',
        strict AND type IN ('log', 'event') AND JSONType(line, 'body') = 'Null', 'missing_body',
        ''), '') AS error,
    -- of an accepted event its fields are kept, and not its line
    if(error = '', '', line) AS rejected_line,
    line_number, line_length, batch_id, source, received_at, max_line,
    -- a tenant id that is not valid is not a tenant
    if(error IN ('line_too_long', 'invalid_json', 'not_an_object', 'duplicate_key', 'missing_tenant_id', 'invalid_tenant_id'),
        ifNull(default_tenant, ''), ifNull(tenant, '')) AS tenant_id,
    timestamp,
    ifNull(type, '') AS event_type,
    ifNull(e.service_id, '') AS service_id,
    ifNull(e.metric_name, '') AS metric_name,
    e.value AS value,
    e.body AS body,
    e.trace_id AS trace_id,
    e.attributes AS attributes,
    -- the engine writes a double like 1e20 as an integer beyond 64 bits, which it does not read again: .0 keeps it a double
    if(has_extra, concat('{', arrayStringConcat(arrayMap(m -> concat(toJSONString(m.1), ':', if(length(m.2) > 18 AND match(m.2, '[0-9]{19}'),
            arrayStringConcat(arrayMap(t -> if(match(t, '^-?[0-9]{19,21}$') AND NOT isValidJSON(t), concat(t, '.0'), t),
                extractAll(m.2, json_token))), m.2)),
        arrayFilter(m -> m.1 NOT IN contract_fields, members)), ','), '}'), '') AS extra,
    foreign_tenant
FROM
(
    SELECT
        *,
        -- sums of 0/1, not OR: OR would evaluate its arguments row by row
        (line_length > max_line) + (member_count = 0) + (ascii(line) != 123) + repeated_key
            + bad_tenant + foreign_tenant + ifNull(ascii(e.tenant_id) IN literal_start, 0) + ifNull(e.tenant_id IN literal_word, 0)
            + bad_service + ifNull(ascii(e.service_id) IN literal_start, 0) + ifNull(e.service_id IN literal_word, 0)
            + bad_type
            + isNull(time) + (timestamp > latest) + (timestamp < oldest)
            + ifNull(ascii(e.metric_name) IN literal_start, 0) + ifNull(e.metric_name IN literal_word, 0)
            -- a value that is a string or a boolean; its key may be spelled with escapes
            + match(line, '"value"[ \\t\\r\\n]*:[ \\t\\r\\n]*["tf]') + (position(line, '\\u00') > 0)
            + (value_start NOT IN (0, 45, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 110))
            + (attributes_start NOT IN (0, 110, 123))
            + (ascii(e.body) IN literal_start) + (e.body IN literal_word)
            -- no literal but an object or an array is longer than 25 bytes (-0.0000012345678901234567)
            + (ascii(e.trace_id) IN literal_start AND (length(e.trace_id) <= 25 OR ascii(e.trace_id) IN (91, 123))) + (e.trace_id IN literal_word)
            + (strict AND if(type IN ('log', 'event'), empty(e.body), isNull(e.metric_name) OR isNull(e.value)))
            > 0 AS suspect
    FROM
    (
        SELECT
            *,
            length(arrayDistinct(keys)) != length(keys) AS repeated_key,
            arrayExists(k -> k NOT IN contract_fields, keys) AS has_extra,
            ascii(members[indexOf(keys, 'value')].2) AS value_start,
            ascii(members[indexOf(keys, 'attributes')].2) AS attributes_start,
            ifNull(tenant = '' OR lengthUTF8(tenant) > 128 OR match(tenant, '\\p{Cc}'), 1) AS bad_tenant,
            tenant_bound AND ifNull(tenant != default_tenant, 0) AS foreign_tenant,
            ifNull(e.service_id = '' OR lengthUTF8(e.service_id) > 256 OR match(e.service_id, '\\p{Cc}'), 1) AS bad_service,
            ifNull(type NOT IN ('metric', 'log', 'trace', 'event', 'profile', 'slo'), 1) OR ifNull(e.event_type != e.type, 0) AS bad_type,
            ifNull(time, earliest) AS timestamp,
            received_at + 86400 AS latest,
            if(max_age_seconds = 0, earliest, greatest(earliest, received_at - max_age_seconds)) AS oldest
        FROM
        (
            SELECT
                *,
                arrayMap(m -> m.1, members) AS keys,
                parseDateTime64BestEffortOrNull(time_text, 3, 'UTC') AS time
            FROM
            (
                SELECT
                    *,
                    if(usual, [], JSONExtractKeysAndValuesRaw(line)) AS members,
                    -- the year 0000 has the calendar of the year 0400, and both are too old
                    if(usual_time, e.timestamp, replaceRegexpOne(replaceRegexpOne(multiIf(
                        match(e.timestamp, rfc3339), upper(e.timestamp),
                        assume_utc AND match(e.timestamp, local_time), concat(replaceOne(upper(e.timestamp), ' ', 'T'), 'Z'),
                        assume_utc AND match(replaceOne(e.timestamp, ' ', 'T'), rfc3339), replaceOne(upper(e.timestamp), ' ', 'T'),
                        ''), '^0000', '0400'), '(\\.[0-9]{3})[0-9]+', '\\1')) AS time_text
                FROM
                (
                    SELECT
                        *,
                        isNotNull(e.tenant_id) + isNotNull(e.service_id) + isNotNull(e.event_type) + isNotNull(e.type)
                            + notEmpty(e.timestamp) + isNotNull(e.metric_name) + isNotNull(e.value) + notEmpty(e.body)
                            + notEmpty(e.trace_id) + notEmpty(e.attributes) = member_count AS usual,
                        match(e.timestamp, rfc3339_usual) AS usual_time,
                        ifNull(e.tenant_id, default_tenant) AS tenant,
                        ifNull(ifNull(e.event_type, e.type), default_type) AS type
                    FROM
                    (
                        SELECT *, JSONExtract(line, shape) AS e, JSONLength(line) AS member_count
                        FROM {{lines}}
                    )
                )
            )
        )
    )
)
