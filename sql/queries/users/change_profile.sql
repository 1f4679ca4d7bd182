-- What is null stays as it is; the avatar is changed if $4 says so, as null takes it away.
UPDATE users
SET display_name = coalesce($2::text, display_name),
    bio = coalesce($3::text, bio),
    avatar_url = CASE WHEN $4::boolean THEN $5::text ELSE avatar_url END,
    version = version + 1,
    updated_at = now()
WHERE id = $1 AND is_active
RETURNING id, username, email, display_name, bio, avatar_url, created_at
