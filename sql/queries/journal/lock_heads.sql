-- Locks the heads of a batch, in the order of their ids so that two writers never wait for each
-- other in a circle, and leaves their names for the statements that follow in the same flight.
SELECT set_config('hubbub.locked', coalesce(string_agg(room_id::text, ','), ''), true)
FROM (
    SELECT room_id
    FROM room_heads
    WHERE room_id = ANY ($1::uuid[])
    ORDER BY room_id
    FOR UPDATE
) AS locked
