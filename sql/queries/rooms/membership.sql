SELECT h.epoch, h.last_seq, m.role, m.read_msg_no,
       (SELECT count(*) FROM (
            SELECT FROM mentions AS n
            WHERE n.room_id = m.room_id AND n.user_id = m.user_id AND n.msg_no > m.read_msg_no
            LIMIT 1000
        ) AS unread) AS mentions
FROM room_members m
JOIN room_heads h ON h.room_id = m.room_id
WHERE m.room_id = $1 AND m.user_id = $2
