-- What a message says may be bytes. `body` stays what is searched: it is empty then.
ALTER TABLE messages ADD COLUMN body_bytes bytea;
-- A node that knows nothing of them yet can neither edit nor delete such a message: it would leave
-- them there. Not valid: no row has any, and none need be looked at.
ALTER TABLE messages ADD CONSTRAINT messages_body_bytes
    CHECK (body_bytes IS NULL OR (body = '' AND deleted_at IS NULL)) NOT VALID;

CREATE OR REPLACE VIEW message_views AS
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
    ) END AS reactions,
    m.body_bytes
FROM messages AS m;
