-- A page of a room's log; the epoch comes with each row, because a log that was reset in between
-- must not be mixed with the one before.
SELECT h.epoch, e.seq, e.kind, e.msg_no, e.id, e.user_id, e.data, e.created_at
FROM room_heads AS h
JOIN room_events AS e ON e.room_id = h.room_id
WHERE h.room_id = $1 AND e.seq > $2
ORDER BY e.seq
LIMIT $3
