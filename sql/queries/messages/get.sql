-- One message, as before.sql gives it. Nothing up to $3, the reader's history floor, is shown.
SELECT
    m.seq, m.msg_no, m.id, m.user_id, m.body, m.client_id, m.created_at,
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
FROM messages m
WHERE m.id = $2 AND m.room_id = $1 AND m.seq > $3
