-- Removes the oldest events of room $1 that are older than $3 days, at most $2: from the first
-- upward to the first that stays, so that what remains is dense. Tells the last one removed.
WITH oldest AS MATERIALIZED (
    SELECT e.seq, e.created_at < now() - make_interval(days => $3) AS is_old
    FROM room_heads AS h
    JOIN room_events AS e ON e.room_id = h.room_id AND e.seq >= h.first_seq
    WHERE h.room_id = $1
    ORDER BY e.seq
    LIMIT $2
),
gone AS (
    DELETE FROM room_events
    WHERE room_id = $1
        AND seq IN (SELECT seq FROM oldest)
        AND seq < coalesce((SELECT min(seq) FROM oldest WHERE NOT is_old), 9223372036854775807)
    RETURNING seq
)
SELECT count(*) AS removed, max(seq) AS last_seq FROM gone
