-- The condition is checked again under the row's lock: of many requests at once, one writes.
UPDATE sessions
SET last_seen_at = now(), expires_at = now() + make_interval(secs => $2)
WHERE id = $1 AND expires_at > now() AND last_seen_at < now() - interval '1 minute'
RETURNING expires_at
