DELETE FROM sessions
WHERE id IN (
    SELECT id FROM sessions
    WHERE expires_at <= now()
    ORDER BY expires_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
