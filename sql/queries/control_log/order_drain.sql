-- The node is to drain; an empty name means all.
WITH numbered AS (
    UPDATE control_head SET last_id = last_id + 1 RETURNING last_id
),
entered AS (
    INSERT INTO control_log (id, kind, data)
    SELECT last_id, 'drain', convert_to($1::text, 'UTF8') FROM numbered
)
SELECT last_id, pg_notify('hubbub_control', last_id::text) FROM numbered
