-- Being connected is a use, so a session that is still good slides. One statement decides: an end
-- or a move from elsewhere is seen under the row's lock.
UPDATE sessions AS s
SET last_seen_at = now(), expires_at = now() + make_interval(secs => $2)
FROM users AS u
WHERE s.id = $1 AND s.expires_at > now() AND u.id = s.user_id AND u.is_active
RETURNING s.expires_at
