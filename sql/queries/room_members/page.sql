SELECT m.user_id, u.username, u.display_name, m.role, m.joined_at,
       coalesce(m.muted_until > now(), false) AS is_muted,
       CASE WHEN m.muted_until > now() AND m.muted_until < '9999-12-30 00:00:00Z' THEN m.muted_until END AS muted_until
FROM room_members m
JOIN users u ON u.id = m.user_id
WHERE m.room_id = $1 AND m.user_id > $2
ORDER BY m.user_id
LIMIT $3
