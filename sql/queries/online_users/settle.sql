-- Who is connected to a node is online.
UPDATE users AS u SET online_status = s.status
FROM (
    SELECT id, CASE
        WHEN EXISTS (SELECT FROM online_users WHERE user_id = id) THEN 'online' ELSE 'offline'
    END AS status
    FROM unnest($1::uuid[]) AS id
) AS s
WHERE u.id = s.id AND u.online_status <> s.status
