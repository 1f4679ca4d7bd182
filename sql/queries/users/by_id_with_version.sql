SELECT id, username, email, display_name, bio, avatar_url, created_at, version
FROM users
WHERE id = $1 AND is_active
