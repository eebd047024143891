-- accepted -> firehose, with each event's share of the compressed size of the
-- block: what its columns take after the codecs of the firehose, as the engine
-- estimates it on stripes of 8,192 rows (a fourth of a large block), shared out
-- by bytes received. The subquery sees the block that is being inserted, and
-- nothing else. Fractions are carried by a low-discrepancy sequence, so that
-- the shares of many events sum to the estimate without bias.
CREATE MATERIALIZED VIEW IF NOT EXISTS {{db}}.infrasage_store_view TO {{db}}.infrasage_raw_firehose AS
WITH
(
    SELECT
        (
            8 * count() / estimateCompressionRatio('Delta,ZSTD(1)', 65536)(timestamp)
            + 2 * count() / estimateCompressionRatio('ZSTD(1)', 65536)(toUInt16(lowCardinalityIndices(metric_name)))
            + if(count(value) = 0, 0, 8 * count() / estimateCompressionRatio('ZSTD(1)', 65536)(ifNull(value, 0)))
            + if(sum(length(body)) = 0, 0, sum(length(body) + 1) / estimateCompressionRatio('ZSTD(1)', 65536)(body)
                + 8 * count() / estimateCompressionRatio('ZSTD(1)', 65536)(length(body)))
            + if(sum(length(trace_id)) = 0, 0, sum(length(trace_id) + 1) / estimateCompressionRatio('ZSTD(1)', 65536)(trace_id))
            + if(sum(length(extra)) = 0, 0, sum(length(extra) + 1) / estimateCompressionRatio('ZSTD(1)', 65536)(extra)
                + 8 * count() / estimateCompressionRatio('ZSTD(1)', 65536)(length(extra)))
            + if(sum(length(value_sizes)) = 0, 0, sum(8 + key_bytes + arraySum(value_sizes) + length(value_sizes)) / estimateCompressionRatio('ZSTD(1)', 65536)(attributes)
                + sum(8 * length(value_sizes)) / estimateCompressionRatio('ZSTD(1)', 65536)(value_sizes))
            -- bytes_received itself, and bytes_ingested with about a third of its size
            + 1.35 * 4 * count() / estimateCompressionRatio('ZSTD(1)', 65536)(bytes_received)
        ) / sum(bytes_received)
    FROM
    (
        SELECT
            *,
            arraySum(k -> length(k) + 1, mapKeys(attributes)) AS key_bytes,
            arrayMap(v -> length(v), mapValues(attributes)) AS value_sizes
        FROM {{db}}.infrasage_accepted
        WHERE intDiv(rowNumberInAllBlocks(), 8192) % 4 = 0
    )
) AS compressed_share
SELECT
    *,
    toUInt32(bytes_received * compressed_share + (rowNumberInAllBlocks() * 0.6180339887498949) % 1) AS bytes_ingested
FROM {{db}}.infrasage_accepted
