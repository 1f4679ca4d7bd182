SELECT id, user_agent, created_at, last_seen_at, expires_at
FROM sessions
WHERE user_id = $1 AND expires_at > now() AND id < $2
ORDER BY id DESC
LIMIT $3
