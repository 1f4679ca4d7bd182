-- The next rooms after $1, at most $2 of them, and which of them begin with an event that is older
-- than $3 days. Every room is looked at by one row of its log, so that a page of this costs the
-- same whatever is due.
SELECT h.room_id, coalesce(first.created_at < now() - make_interval(days => $3), false) AS is_due
FROM (
    SELECT room_id, first_seq
    FROM room_heads
    WHERE room_id > $1
    ORDER BY room_id
    LIMIT $2
) AS h
LEFT JOIN LATERAL (
    SELECT e.created_at
    FROM room_events AS e
    WHERE e.room_id = h.room_id AND e.seq >= h.first_seq
    ORDER BY e.seq
    LIMIT 1
) AS first ON true
ORDER BY h.room_id
