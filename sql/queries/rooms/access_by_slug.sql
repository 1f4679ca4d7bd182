SELECT r.id, r.is_private, m.role, h.epoch, h.last_seq, h.last_msg_no, m.history_floor
FROM rooms r
JOIN room_heads h ON h.room_id = r.id
LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = $2
WHERE r.slug = $1
