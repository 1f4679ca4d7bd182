-- The replies to $6. See before.sql.
SELECT h.epoch, h.last_seq, m.*
FROM room_heads h
LEFT JOIN LATERAL (
    SELECT *
    FROM (
        SELECT
            *,
            count(*) OVER () AS found,
            row_number() OVER nearer AS place,
            sum(octet_length(body) + coalesce(octet_length(body_bytes), 0)) OVER nearer AS bytes
        FROM (
            SELECT *
            FROM message_views
            WHERE thread_id = $6 AND room_id = h.room_id AND seq > greatest($4::bigint, $5)
            ORDER BY seq
            LIMIT $2::bigint + 1
        ) AS nearest
        WINDOW nearer AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)
    ) AS summed
    WHERE place = 1 OR (place <= $2::bigint AND bytes <= $3::bigint)
) m ON true
WHERE h.room_id = $1
ORDER BY m.seq
