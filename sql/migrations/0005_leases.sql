-- How long a node's lease is, so that others can judge it by what they see of it, too: also when
-- Postgres's clock is set back, or another server with another clock takes over.
ALTER TABLE nodes ADD COLUMN lease_ms bigint NOT NULL DEFAULT 10000 CHECK (lease_ms > 0);
