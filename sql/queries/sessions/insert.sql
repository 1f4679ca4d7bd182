INSERT INTO sessions (id, token_hash, user_id, user_agent, expires_at)
VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))
RETURNING expires_at
