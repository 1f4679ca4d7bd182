-- These users are connected to a node in this life, and those no longer.
WITH gone AS (
    DELETE FROM online_users
    WHERE user_id = ANY($4::uuid[]) AND node_id = $1::text AND incarnation <= $2::bigint
)
INSERT INTO online_users (user_id, node_id, incarnation)
SELECT id, $1, $2 FROM users WHERE id = ANY($3::uuid[])
ON CONFLICT (user_id, node_id) DO UPDATE SET incarnation = excluded.incarnation
