-- Price plans (infrasage plans apply), each version with the text of its file, and
-- which tenants have them. Rows are only added. What is in force in a month: of the
-- rows that are effective from it or an earlier one, that of the latest such month;
-- of several, the latest version.
CREATE TABLE IF NOT EXISTS {{db}}.infrasage_price_plans
(
    name           String,
    version        UInt64 COMMENT 'from 1, by name',
    effective_from String COMMENT 'month, like 2026-11',
    text           String COMMENT 'YAML, as it was applied',
    changed_at     DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (name, version)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS {{db}}.infrasage_plan_assignments
(
    tenant_id      String COMMENT 'empty for every tenant that has no plan of its own',
    version        UInt64 COMMENT 'from 1, by tenant',
    plan           String COMMENT 'its name; empty: none from then on',
    effective_from String COMMENT 'month, like 2026-11',
    changed_at     DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant_id, version)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
