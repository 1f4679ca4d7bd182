-- Public rooms and those of the user, the newest first, older than room $2, and what the user is in
-- them. Each branch walks its own index downwards and stops at the limit; their union sorts two pages
-- at most.
WITH page AS (
    (SELECT id FROM rooms WHERE NOT is_private AND id < $2 ORDER BY id DESC LIMIT $3)
    UNION
    (SELECT room_id FROM room_members WHERE user_id = $1 AND room_id < $2
     ORDER BY room_id DESC LIMIT $3)
    ORDER BY id DESC
    LIMIT $3
)
SELECT page.id, m.role, m.read_msg_no,
       (SELECT count(*) FROM (
            SELECT FROM mentions AS n
            WHERE n.room_id = m.room_id AND n.user_id = m.user_id AND n.msg_no > m.read_msg_no
            LIMIT 1000
        ) AS unread) AS mentions
FROM page
LEFT JOIN room_members m ON m.room_id = page.id AND m.user_id = $1
ORDER BY page.id DESC
