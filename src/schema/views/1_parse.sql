-- landing -> parsed: every line gets its verdict.
CREATE MATERIALIZED VIEW IF NOT EXISTS {{db}}.infrasage_parse_view TO {{db}}.infrasage_parsed AS
{{parse}}
