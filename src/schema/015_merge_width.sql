-- A merge takes 24 parts of the firehose at most, not 100, so that its memory does not go by how many are waiting:
-- after an ingest of 100 million events, whose 387 parts waited, the process that merged them took 599 MB and not
-- 1,193, four merges at once; the first pass over all of them took as many CPU-seconds.
ALTER TABLE {{db}}.infrasage_raw_firehose
    MODIFY SETTING max_parts_to_merge_at_once = 24;
