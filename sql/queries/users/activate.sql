UPDATE users
SET is_active = true, updated_at = now(), version = version + 1
WHERE lower(username) = lower($1)
RETURNING id
