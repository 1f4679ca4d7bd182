-- Moves read markers forward: all that came within a moment, in one statement. The highest wins,
-- whoever stores first.
--
-- A row that somebody else has locked (a change of the membership, the same user on another node)
-- is not waited for, because holding some rows while waiting for others is how two statements
-- come to wait for each other: it is answered as locked and comes with the next batch.
WITH input AS (
    SELECT *
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) WITH ORDINALITY AS i (room_id, user_id, msg_no, ord)
),
judged AS MATERIALIZED (
    SELECT
        i.*,
        m.read_msg_no,
        CASE
            WHEN h.room_id IS NULL THEN 'room_not_found'
            WHEN m.user_id IS NULL THEN CASE
                WHEN (SELECT r.is_private FROM rooms AS r WHERE r.id = i.room_id) THEN 'room_not_found'
                ELSE 'not_a_member'
            END
            WHEN i.msg_no > h.last_msg_no THEN 'beyond_head'
            ELSE 'accepted'
        END AS verdict
    FROM input AS i
    LEFT JOIN room_heads AS h ON h.room_id = i.room_id
    LEFT JOIN room_members AS m ON m.room_id = i.room_id AND m.user_id = i.user_id
),
wanted AS MATERIALIZED (
    SELECT room_id, user_id, max(msg_no) AS msg_no
    FROM judged
    WHERE verdict = 'accepted'
    GROUP BY room_id, user_id
),
free AS MATERIALIZED (
    SELECT m.room_id, m.user_id, w.msg_no
    FROM wanted AS w
    JOIN room_members AS m ON m.room_id = w.room_id AND m.user_id = w.user_id
    WHERE m.read_msg_no < w.msg_no
    FOR NO KEY UPDATE OF m SKIP LOCKED
),
stored AS (
    UPDATE room_members AS m
    SET read_msg_no = f.msg_no
    FROM free AS f
    WHERE m.room_id = f.room_id AND m.user_id = f.user_id AND m.read_msg_no < f.msg_no
    RETURNING m.room_id, m.user_id, m.read_msg_no
)
SELECT
    CASE
        WHEN j.verdict = 'accepted' AND s.room_id IS NULL AND j.read_msg_no < w.msg_no THEN 'locked'
        ELSE j.verdict
    END AS verdict,
    coalesce(s.read_msg_no, j.read_msg_no) AS msg_no,
    s.room_id IS NOT NULL AS is_moved
FROM judged AS j
LEFT JOIN wanted AS w ON w.room_id = j.room_id AND w.user_id = j.user_id
LEFT JOIN stored AS s ON s.room_id = j.room_id AND s.user_id = j.user_id
ORDER BY j.ord
