-- Changes what is said of each of several rooms, and logs it, under the heads' locks. The change
-- was made of what stood at `version`: the event has the whole, so that whoever applies events to
-- an old picture has the new one.
WITH input AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::boolean[], $9::bigint[]
    ) WITH ORDINALITY AS i (room_id, actor_id, id, data, name, topic, history, is_private, version, ord)
),
locked AS MATERIALIZED (
    SELECT unnest(string_to_array(current_setting('hubbub.locked'), ','))::uuid AS room_id
),
judged AS MATERIALIZED (
    SELECT
        i.*,
        h.epoch,
        h.last_seq,
        CASE
            WHEN h.room_id IS NULL OR r.id IS NULL THEN 'room_not_found'
            WHEN l.room_id IS NULL THEN 'locked'
            WHEN actor.user_id IS NULL THEN CASE WHEN r.is_private THEN 'room_not_found' ELSE 'not_a_member' END
            WHEN actor.role <> 'owner' THEN 'forbidden'
            WHEN (r.name, r.topic, r.history, r.is_private) = (i.name, i.topic, i.history, i.is_private)
                THEN 'unchanged'
            WHEN r.version <> i.version THEN 'outdated'
            ELSE 'accepted'
        END AS verdict
    FROM input AS i
    LEFT JOIN locked AS l ON l.room_id = i.room_id
    LEFT JOIN room_heads AS h ON h.room_id = i.room_id
    LEFT JOIN rooms AS r ON r.id = i.room_id
    LEFT JOIN room_members AS actor ON actor.room_id = i.room_id AND actor.user_id = i.actor_id
),
accepted AS MATERIALIZED (
    SELECT judged.*, last_seq + 1 AS seq, now.created_at
    FROM judged, (SELECT clock_timestamp() AS created_at) AS now
    WHERE verdict = 'accepted'
),
changed AS (
    UPDATE rooms AS r
    SET
        name = a.name, topic = a.topic, history = a.history, is_private = a.is_private,
        version = r.version + 1, updated_at = a.created_at
    FROM accepted AS a
    WHERE r.id = a.room_id
),
moved AS (
    UPDATE room_heads AS h
    SET last_seq = a.seq
    FROM accepted AS a
    WHERE h.room_id = a.room_id
),
logged AS (
    INSERT INTO room_events (room_id, seq, kind, msg_no, id, user_id, data, created_at)
    SELECT room_id, seq, 8, NULL, id, actor_id, data, created_at
    FROM accepted
)
SELECT j.ord, j.verdict, j.epoch, a.seq, NULL::bigint AS msg_no, a.id, a.created_at
FROM judged AS j
LEFT JOIN accepted AS a ON a.ord = j.ord
ORDER BY j.ord
