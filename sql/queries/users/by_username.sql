SELECT id, username, email, display_name, created_at
FROM users
WHERE lower(username) = lower($1) AND is_active
