-- Walks from the oldest and looks at $2 rows at most.
DELETE FROM control_log
WHERE id IN (
    SELECT id
    FROM (SELECT id, created_at FROM control_log ORDER BY id LIMIT $2) AS oldest
    WHERE created_at < now() - make_interval(hours => $1)
)
