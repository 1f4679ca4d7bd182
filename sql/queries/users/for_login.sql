-- By name or by address: a name has no @, so at most one of the two unique indexes has a match.
SELECT id, username, email, display_name, bio, avatar_url, created_at, password_hash
FROM users
WHERE (lower(username) = lower($1) OR lower(email) = lower($1)) AND is_active
