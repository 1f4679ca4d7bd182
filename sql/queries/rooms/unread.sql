-- What a user has not read: of all rooms together, and those rooms in the order of their ids, after room
-- $2. Without such rooms it is one row, with nulls.
WITH unread AS (
    SELECT m.room_id, m.read_msg_no, h.last_seq, h.last_msg_no, h.last_msg_no - m.read_msg_no AS unread
    FROM room_members m
    JOIN room_heads h ON h.room_id = m.room_id
    WHERE m.user_id = $1 AND h.last_msg_no > m.read_msg_no
)
SELECT total.rooms AS total_rooms, total.unread AS total_unread, page.*
FROM (SELECT count(*) AS rooms, coalesce(sum(unread), 0)::bigint AS unread FROM unread) AS total
LEFT JOIN (
    SELECT u.*,
           (SELECT count(*) FROM (
                SELECT FROM mentions AS n
                WHERE n.room_id = u.room_id AND n.user_id = $1 AND n.msg_no > u.read_msg_no
                LIMIT 1000
            ) AS named) AS mentions
    FROM unread AS u
    WHERE u.room_id > $2
    ORDER BY u.room_id
    LIMIT $3
) AS page ON true
ORDER BY page.room_id
