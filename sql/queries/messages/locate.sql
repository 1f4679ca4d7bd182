-- A message, wherever it is, with what user $2 is in its room.
SELECT m.*, r.is_private, member.role, coalesce(member.history_floor, 0) AS history_floor
FROM message_views AS m
JOIN rooms AS r ON r.id = m.room_id
LEFT JOIN room_members AS member ON member.room_id = m.room_id AND member.user_id = $2
WHERE m.id = $1
