-- Users, rooms and the rooms' logs.
--
-- The tables that every publish touches (room_heads, room_events, messages, publish_keys) have no
-- foreign keys: each would cost a row lock per insert on a row that the statement has checked
-- anyway. Rows of a room are removed with the room by the statement that removes it.

CREATE TABLE users (
    id            uuid        PRIMARY KEY,
    username      text        NOT NULL,
    email         text        NOT NULL,
    display_name  text        NOT NULL,
    password_hash text        NOT NULL,
    is_active     boolean     NOT NULL DEFAULT true,
    online_status text        NOT NULL DEFAULT 'offline' CHECK (online_status IN ('offline', 'online')),
    version       bigint      NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
-- Names and addresses are unique whatever their case.
CREATE UNIQUE INDEX users_username ON users (lower(username));
CREATE UNIQUE INDEX users_email ON users (lower(email));
CREATE INDEX users_online_status ON users (online_status) WHERE online_status <> 'offline';
CREATE INDEX users_is_active_created_at ON users (is_active, created_at);

CREATE TABLE sessions (
    id           uuid        PRIMARY KEY,
    -- SHA-256 of the token: who reads the table cannot log in with it.
    token_hash   bytea       NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    user_id      uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    user_agent   text        NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);
CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE rooms (
    id         uuid        PRIMARY KEY,
    slug       text        NOT NULL UNIQUE,
    name       text        NOT NULL,
    topic      text        NOT NULL DEFAULT '',
    is_private boolean     NOT NULL DEFAULT false,
    created_by uuid        NOT NULL REFERENCES users,
    version    bigint      NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX rooms_created_at ON rooms (created_at);
-- With the id, so that the list of public rooms walks it in order and stops at the page's end.
CREATE INDEX rooms_is_private ON rooms (is_private, id);

-- The heads of the logs. Every commit updates one row for each room that it touches, so the row
-- is short, pages have room for the new version beside the old, and no index but the key exists:
-- each update is heap-only.
CREATE TABLE room_heads (
    room_id     uuid    PRIMARY KEY,
    epoch       integer NOT NULL CHECK (epoch > 0),
    last_seq    bigint  NOT NULL DEFAULT 0,
    last_msg_no bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 500);

CREATE TABLE room_members (
    room_id     uuid        NOT NULL REFERENCES rooms ON DELETE CASCADE,
    user_id     uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    role        text        NOT NULL CHECK (role IN ('member', 'moderator', 'owner')),
    -- The head of the log when the member came: what a history floor is measured from.
    joined_seq  bigint      NOT NULL,
    read_msg_no bigint      NOT NULL DEFAULT 0,
    joined_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (room_id, user_id)
) WITH (fillfactor = 80);
-- The same for the list of one's own rooms.
CREATE INDEX room_members_user_id ON room_members (user_id, room_id);

CREATE TABLE room_events (
    room_id    uuid        NOT NULL,
    seq        bigint      NOT NULL,
    kind       smallint    NOT NULL,
    -- Set for messages only: their place among messages.
    msg_no     bigint,
    id         uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    -- MessagePack, so that binary and any JSON survive (jsonb refuses U+0000 and rounds numbers).
    data       bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (room_id, seq)
);

CREATE TABLE messages (
    id         uuid        PRIMARY KEY,
    room_id    uuid        NOT NULL,
    seq        bigint      NOT NULL,
    msg_no     bigint      NOT NULL,
    user_id    uuid        NOT NULL,
    client_id  text        NOT NULL,
    body       text        NOT NULL,
    created_at timestamptz NOT NULL
);
-- The order of a room's messages by time is the order of their seq: this index is both.
CREATE UNIQUE INDEX messages_room_id_seq ON messages (room_id, seq);
CREATE INDEX messages_user_id_created_at ON messages (user_id, created_at DESC);

-- What a sender has published under which key. Independent of the log's retention: a client may
-- ask again for as long as its outbox keeps a message.
CREATE TABLE publish_keys (
    room_id     uuid        NOT NULL,
    user_id     uuid        NOT NULL,
    client_id   text        NOT NULL,
    -- A digest of kind and content, to tell a retry from a key used twice.
    fingerprint bytea       NOT NULL,
    seq         bigint      NOT NULL,
    msg_no      bigint,
    id          uuid        NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (room_id, user_id, client_id)
);
CREATE INDEX publish_keys_created_at ON publish_keys USING brin (created_at);

-- What every node must hear of besides the rooms' events, densely numbered.
CREATE TABLE control_log (
    id         bigint      PRIMARY KEY CHECK (id > 0),
    kind       text        NOT NULL,
    data       bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE nodes (
    id          text        PRIMARY KEY,
    -- Counts the node's starts, so that a message of an earlier life is known as such.
    incarnation bigint      NOT NULL DEFAULT 1,
    address     text        NOT NULL DEFAULT '',
    bus_state   text        NOT NULL DEFAULT 'local' CHECK (bus_state IN ('local', 'redis', 'fallback')),
    started_at  timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL DEFAULT now()
);

