SELECT m.user_id, u.username, u.display_name, m.role, m.joined_at
FROM room_members m
JOIN users u ON u.id = m.user_id
WHERE m.room_id = $1 AND m.user_id = $2
