-- A page of a room's log: at most $3 events, and no more than the one that reaches $4 bytes of
-- data. What the head says comes with each row, and with a row of nulls if there is no event: the
-- epoch, because a log that was reset in between must not be mixed with the one before, and where
-- the log begins and ends, because what is missing may have been removed.
SELECT
    h.epoch, h.first_seq, h.last_seq,
    page.seq, page.kind, page.msg_no, page.message_id, page.id, page.user_id, page.data,
    page.created_at
FROM room_heads AS h
LEFT JOIN LATERAL (
    SELECT
        e.*,
        sum(octet_length(e.data)) OVER (ORDER BY e.seq ROWS UNBOUNDED PRECEDING)
            - octet_length(e.data) AS bytes_before
    FROM (
        SELECT seq, kind, msg_no, message_id, id, user_id, data, created_at
        FROM room_events
        WHERE room_id = h.room_id AND seq > $2
        ORDER BY seq
        LIMIT $3
    ) AS e
) AS page ON page.bytes_before < $4
WHERE h.room_id = $1
ORDER BY page.seq
