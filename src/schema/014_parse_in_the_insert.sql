-- Lines are judged in the INSERT that brings them, not in a view behind a table that they
-- land in: in small blocks, of which only what is stored is kept for the one block of the batch.
DROP VIEW IF EXISTS {{db}}.infrasage_parse_view;

DROP TABLE IF EXISTS {{db}}.infrasage_landing;
