-- An invitation, unless the room has $7 open ones. Those made at the same moment do not see each
-- other, so the bound can be passed by a few.
INSERT INTO invitations (id, room_id, token_hash, role, created_by, expires_at)
SELECT $1, $2, $3, $4, $5, now() + make_interval(secs => $6)
WHERE (
    SELECT count(*) FROM invitations
    WHERE room_id = $2 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > now()
) < $7
RETURNING created_at, expires_at
