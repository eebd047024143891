-- The digits of the currency's minor unit as it was billed in, so that what is printed of a closed month is
-- the same whatever becomes of the currency.
ALTER TABLE {{db}}.infrasage_billed_terms
    ADD COLUMN IF NOT EXISTS digits String COMMENT 'of the minor unit; empty without a plan, and of closings from before';
