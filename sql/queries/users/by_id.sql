SELECT id, username, email, display_name, created_at
FROM users
WHERE id = $1 AND is_active
