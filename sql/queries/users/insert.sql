INSERT INTO users (id, username, email, display_name, password_hash)
VALUES ($1, $2, $3, $4, $5)
RETURNING created_at
