-- As journal/lock_heads, of those heads only that nobody else has locked.
SELECT set_config('hubbub.locked', coalesce(string_agg(room_id::text, ','), ''), true)
FROM (
    SELECT room_id
    FROM room_heads
    WHERE room_id = ANY ($1::uuid[])
    ORDER BY room_id
    FOR UPDATE SKIP LOCKED
) AS locked
