-- What users say of themselves besides their name.
ALTER TABLE users
    ADD COLUMN bio        text NOT NULL DEFAULT '',
    ADD COLUMN avatar_url text;

-- Finding users by how a name begins. Byte by byte, so that a prefix is a range; with the id, so that a
-- page goes on behind any place.
CREATE INDEX users_username_prefix ON users (lower(username) COLLATE "C", id) WHERE is_active;
CREATE INDEX users_display_name_prefix ON users (lower(display_name) COLLATE "C", id) WHERE is_active;

-- Requests that carry an `Idempotency-Key`, and what they were answered. While one is being answered
-- `status` is null, and `claim` says by which attempt. Nothing of it is needed after a crash but the
-- answers, so nothing refers to it.
CREATE TABLE request_keys (
    user_id      uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    key          text        NOT NULL,
    -- SHA-256 of method, address and body, to tell a retry from a key used twice.
    fingerprint  bytea       NOT NULL CHECK (length(fingerprint) = 32),
    claim        uuid        NOT NULL,
    -- Until then nobody else may take the key over from an attempt that has not ended.
    claimed_until timestamptz NOT NULL,
    status       smallint,
    content_type text,
    body         bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX request_keys_created_at ON request_keys (created_at);
