-- A day after its end: until then who comes with it is told that it has expired.
DELETE FROM invitations
WHERE id IN (
    SELECT id FROM invitations
    WHERE expires_at < now() - interval '1 day'
    ORDER BY expires_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
