-- The lines of an invoice as they were billed, each with its quantity, price and amount, so that what is
-- printed of a closed month is not computed anew by a later program.
ALTER TABLE {{db}}.infrasage_billed_terms
    ADD COLUMN IF NOT EXISTS lines String COMMENT 'JSON; empty without a plan, and of an adjustment';
