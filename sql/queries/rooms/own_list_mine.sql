-- The rooms of the user, the newest first, older than room $2, and what the user is in them.
SELECT m.room_id AS id, m.role, m.read_msg_no,
       (SELECT count(*) FROM (
            SELECT FROM mentions AS n
            WHERE n.room_id = m.room_id AND n.user_id = m.user_id AND n.msg_no > m.read_msg_no
            LIMIT 1000
        ) AS unread) AS mentions
FROM room_members m
WHERE m.user_id = $1 AND m.room_id < $2
ORDER BY m.room_id DESC
LIMIT $3
