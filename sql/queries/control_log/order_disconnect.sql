-- Connections are to end; $1 says which.
WITH numbered AS (
    UPDATE control_head SET last_id = last_id + 1 RETURNING last_id
),
entered AS (
    INSERT INTO control_log (id, kind, data)
    SELECT last_id, 'disconnect', $1::bytea FROM numbered
)
SELECT last_id, pg_notify('hubbub_control', last_id::text) FROM numbered
