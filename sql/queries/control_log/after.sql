-- A page after $1, and where the log ends. Ids are given under the lock of the head's row, which
-- is held until the commit: whoever sees an id sees all before it.
SELECT h.last_id AS head, e.id, e.kind, e.data
FROM control_head AS h
LEFT JOIN LATERAL (
    SELECT id, kind, data FROM control_log WHERE id > $1 ORDER BY id LIMIT $2
) AS e ON true
ORDER BY e.id
