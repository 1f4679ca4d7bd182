-- What nodes authenticate each other by. Whoever can read the database is trusted; the first node
-- makes it, and a new one takes its place when the row is deleted.
CREATE TABLE cluster_secret (
    is_the_one boolean     PRIMARY KEY DEFAULT true CHECK (is_the_one),
    secret     bytea       NOT NULL CHECK (octet_length(secret) = 32),
    made_at    timestamptz NOT NULL DEFAULT now()
);

-- `address` is where other nodes find a node from now on; clients find it here.
ALTER TABLE nodes ADD COLUMN http_address text NOT NULL DEFAULT '';
UPDATE nodes SET http_address = address, address = '';
