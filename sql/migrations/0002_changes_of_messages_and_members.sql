-- What can be done to a message after it was said, who may see how much of the past, and what
-- every node must hear of.

-- Threads, edits, deletions, pins. `changed_seq` is the last event that touched the message.
ALTER TABLE messages
    ADD COLUMN thread_id   uuid,
    ADD COLUMN replies     bigint      NOT NULL DEFAULT 0,
    ADD COLUMN mentions    uuid[],
    ADD COLUMN changed_seq bigint,
    ADD COLUMN edited_at   timestamptz,
    ADD COLUMN deleted_at  timestamptz,
    ADD COLUMN pinned_at   timestamptz,
    ADD COLUMN pinned_by   uuid;
CREATE INDEX messages_thread ON messages (thread_id, seq) WHERE thread_id IS NOT NULL;
CREATE INDEX messages_pinned ON messages (room_id, seq) WHERE pinned_at IS NOT NULL;

-- The message that an event is about, for edits, deletions, reactions and pins. A deletion finds
-- by it the edits whose text it has to take out of the log.
ALTER TABLE room_events ADD COLUMN message_id uuid;
CREATE INDEX room_events_edits ON room_events (message_id) WHERE kind = 4;

CREATE TABLE reactions (
    message_id uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    emoji      text        NOT NULL,
    room_id    uuid        NOT NULL,
    seq        bigint      NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (message_id, emoji, user_id)
);

-- A message as clients see it, the same for every page. Reactions are looked up only for messages
-- that an event has touched since; `users` are the first fifty of each emoji.
CREATE VIEW message_views AS
SELECT
    m.room_id, m.seq, m.msg_no, m.id, m.user_id, m.body, m.client_id, m.created_at,
    m.thread_id, m.replies, m.mentions, m.edited_at, m.deleted_at, m.pinned_at,
    CASE WHEN m.changed_seq IS NOT NULL THEN (
        SELECT json_agg(json_build_object('emoji', r.emoji, 'count', r.count, 'users', r.users) ORDER BY r.first)::text
        FROM (
            SELECT emoji, count(*), min(seq) AS first, (array_agg(user_id ORDER BY seq, user_id))[1:50] AS users
            FROM reactions
            WHERE message_id = m.id
            GROUP BY emoji
        ) AS r
    ) END AS reactions
FROM messages AS m;

-- Who was named in which message, to count what a member has not read.
CREATE TABLE mentions (
    room_id    uuid   NOT NULL,
    user_id    uuid   NOT NULL,
    msg_no     bigint NOT NULL,
    message_id uuid   NOT NULL,
    PRIMARY KEY (room_id, user_id, msg_no)
);
CREATE INDEX mentions_message_id ON mentions (message_id);

-- What members see of the past: everything, or what was said since they came. It is decided when
-- a member comes: `history_floor` is the last event that they may not see.
ALTER TABLE rooms
    ADD COLUMN history text NOT NULL DEFAULT 'all' CHECK (history IN ('all', 'joined'));
ALTER TABLE room_members
    ADD COLUMN history_floor bigint NOT NULL DEFAULT 0,
    -- Silenced until then; the end of the year 9999 stands for ever.
    ADD COLUMN muted_until   timestamptz;

-- Who may not come back. `until` is null for ever.
CREATE TABLE room_bans (
    room_id   uuid        NOT NULL REFERENCES rooms ON DELETE CASCADE,
    user_id   uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    banned_by uuid        NOT NULL,
    reason    text        NOT NULL DEFAULT '',
    until     timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (room_id, user_id)
);

-- A way into a room, for one person, once.
CREATE TABLE invitations (
    id         uuid        PRIMARY KEY,
    room_id    uuid        NOT NULL REFERENCES rooms ON DELETE CASCADE,
    -- SHA-256 of the token: who reads the table cannot come in with it.
    token_hash bytea       NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    role       text        NOT NULL CHECK (role IN ('member', 'moderator', 'owner')),
    created_by uuid        NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_by    uuid,
    used_at    timestamptz,
    revoked_at timestamptz
);
CREATE INDEX invitations_room_id ON invitations (room_id, id);
CREATE INDEX invitations_expires_at ON invitations (expires_at);

-- The first event that retention has left in the log: those before it are gone.
ALTER TABLE room_heads ADD COLUMN first_seq bigint NOT NULL DEFAULT 1;
-- Retention walks the log by age.
CREATE INDEX room_events_created_at ON room_events USING brin (created_at);

-- The head of the control log: one row, whose lock numbers the entries without a hole.
CREATE TABLE control_head (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    last_id bigint  NOT NULL DEFAULT 0
);
INSERT INTO control_head DEFAULT VALUES;

-- Told to operators by `hubbub drain`.
ALTER TABLE nodes
    ADD COLUMN connections bigint NOT NULL DEFAULT 0,
    ADD COLUMN state       text   NOT NULL DEFAULT 'serving'
        CHECK (state IN ('serving', 'draining', 'drained', 'stopped'));
