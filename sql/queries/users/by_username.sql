SELECT id, username, email, display_name, bio, avatar_url, created_at
FROM users
WHERE lower(username) = lower($1) AND is_active
