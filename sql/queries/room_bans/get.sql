SELECT b.user_id, u.username, u.display_name, b.banned_by, b.reason, b.until, b.created_at
FROM room_bans b
JOIN users u ON u.id = b.user_id
WHERE b.room_id = $1 AND b.user_id = $2 AND (b.until IS NULL OR b.until > now())
