-- The rooms of these ids and slugs that the user may know of, in no order.
SELECT r.id, r.slug, r.name, r.topic, r.is_private, r.history, r.created_by, r.created_at, r.version,
       h.epoch, h.last_seq, h.last_msg_no, m.role, m.read_msg_no,
       (SELECT count(*) FROM (
            SELECT FROM mentions AS n
            WHERE n.room_id = r.id AND n.user_id = $1 AND n.msg_no > m.read_msg_no
            LIMIT 1000
        ) AS unread) AS mentions
FROM rooms r
JOIN room_heads h ON h.room_id = r.id
LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = $1
WHERE (r.id = ANY($2::uuid[]) OR r.slug = ANY($3::text[])) AND (NOT r.is_private OR m.user_id IS NOT NULL)
