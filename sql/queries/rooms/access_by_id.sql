SELECT r.id, r.is_private, m.role, h.epoch, h.last_seq, h.last_msg_no, m.history_floor,
       least(m.muted_until, timestamptz '9999-12-30 00:00:00Z') AS muted_until
FROM rooms r
JOIN room_heads h ON h.room_id = r.id
LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = $2
WHERE r.id = $1
