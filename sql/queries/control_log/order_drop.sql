-- Copies of the room $1 are to be made anew, or all if it is empty.
WITH numbered AS (
    UPDATE control_head SET last_id = last_id + 1 RETURNING last_id
),
entered AS (
    INSERT INTO control_log (id, kind, data)
    SELECT last_id, 'copies_dropped', $1::bytea FROM numbered
)
SELECT last_id, pg_notify('hubbub_control', last_id::text) FROM numbered
