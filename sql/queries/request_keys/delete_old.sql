DELETE FROM request_keys
WHERE (user_id, key) IN (
    SELECT user_id, key FROM request_keys
    WHERE created_at < now() - make_interval(hours => $1)
    ORDER BY created_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
