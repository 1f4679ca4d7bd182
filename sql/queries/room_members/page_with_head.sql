-- The head and the page in one snapshot; a page without members is one row of nulls. `mute_left_s`: for
-- so long what is said of mutes is true.
SELECT h.epoch, h.last_seq, page.*
FROM room_heads h
LEFT JOIN LATERAL (
    SELECT m.user_id, u.username, u.display_name, m.role, m.joined_at,
           coalesce(m.muted_until > now(), false) AS is_muted,
           CASE WHEN m.muted_until > now() AND m.muted_until < '9999-12-30 00:00:00Z' THEN m.muted_until END AS muted_until,
           CASE WHEN m.muted_until > now() AND m.muted_until < '9999-12-30 00:00:00Z'
               THEN extract(epoch FROM m.muted_until - now())::float8 END AS mute_left_s
    FROM room_members m
    JOIN users u ON u.id = m.user_id
    WHERE m.room_id = h.room_id AND m.user_id > $2
    ORDER BY m.user_id
    LIMIT $3
) AS page ON true
WHERE h.room_id = $1
ORDER BY page.user_id
