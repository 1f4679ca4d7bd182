SELECT r.id, r.slug, r.name, r.topic, r.is_private, r.history, r.created_by, r.created_at, r.version,
       h.epoch, h.last_seq, h.last_msg_no, m.role
FROM rooms r
JOIN room_heads h ON h.room_id = r.id
LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = $2
WHERE r.slug = $1 AND (NOT r.is_private OR m.user_id IS NOT NULL)
