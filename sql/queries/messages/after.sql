-- See before.sql.
SELECT
    h.epoch, h.last_seq,
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
    ) END AS reactions,
    m.found
FROM room_heads h
LEFT JOIN LATERAL (
    SELECT *
    FROM (
        SELECT
            *,
            count(*) OVER () AS found,
            row_number() OVER nearer AS place,
            sum(octet_length(body)) OVER nearer AS bytes
        FROM (
            SELECT *
            FROM messages
            WHERE room_id = h.room_id AND seq > greatest($4::bigint, $5)
            ORDER BY seq
            LIMIT $2::bigint + 1
        ) AS nearest
        WINDOW nearer AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)
    ) AS summed
    WHERE place = 1 OR (place <= $2::bigint AND bytes <= $3::bigint)
) m ON true
WHERE h.room_id = $1
ORDER BY m.seq
