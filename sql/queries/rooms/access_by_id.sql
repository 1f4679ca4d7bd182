SELECT
    r.id, r.is_private, m.role, coalesce(m.history_floor, 0) AS history_floor,
    -- Muted for ever is later than what the driver's type can hold; least() passes over nulls.
    CASE WHEN m.muted_until IS NOT NULL THEN least(m.muted_until, timestamptz '9999-12-30 00:00:00Z') END
        AS muted_until,
    h.epoch, h.first_seq, h.last_seq, h.last_msg_no
FROM rooms r
JOIN room_heads h ON h.room_id = r.id
LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = $2
WHERE r.id = $1
