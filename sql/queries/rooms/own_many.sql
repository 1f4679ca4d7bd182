-- The rooms of these ids and slugs that the user may know of, in no order, and what the user is in them.
SELECT r.id, r.slug, m.role, m.read_msg_no,
       (SELECT count(*) FROM (
            SELECT FROM mentions AS n
            WHERE n.room_id = m.room_id AND n.user_id = m.user_id AND n.msg_no > m.read_msg_no
            LIMIT 1000
        ) AS unread) AS mentions
FROM rooms r
LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = $1
WHERE (r.id = ANY($2::uuid[]) OR r.slug = ANY($3::text[])) AND (NOT r.is_private OR m.user_id IS NOT NULL)
