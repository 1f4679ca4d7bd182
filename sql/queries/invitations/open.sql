SELECT id, role, created_by, created_at, expires_at
FROM invitations
WHERE room_id = $1 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > now()
ORDER BY id
LIMIT $2
