-- The head and the page in one snapshot; a page without messages is one row of nulls.
SELECT h.epoch, h.last_seq, m.seq, m.msg_no, m.id, m.user_id, m.body, m.client_id, m.created_at
FROM room_heads h
LEFT JOIN LATERAL (
    SELECT * FROM messages WHERE room_id = h.room_id ORDER BY seq DESC LIMIT $2
) m ON true
WHERE h.room_id = $1
ORDER BY m.seq
