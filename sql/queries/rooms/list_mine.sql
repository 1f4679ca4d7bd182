SELECT r.id, r.slug, r.name, r.topic, r.is_private, r.history, r.created_by, r.created_at, r.version,
       h.epoch, h.last_seq, h.last_msg_no, m.role, m.read_msg_no,
       (SELECT count(*) FROM (
            SELECT FROM mentions AS n
            WHERE n.room_id = r.id AND n.user_id = $1 AND n.msg_no > m.read_msg_no
            LIMIT 1000
        ) AS unread) AS mentions
FROM room_members m
JOIN rooms r ON r.id = m.room_id
JOIN room_heads h ON h.room_id = m.room_id
WHERE m.user_id = $1 AND m.room_id < $2
ORDER BY m.room_id DESC
LIMIT $3
