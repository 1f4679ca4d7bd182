-- Users whose unique or shown name begins with $1, whatever its case, in the order of that name, behind
-- the place ($3, $4). All such names come before $2. Each branch walks an index of its own and stops at
-- the page's end. Who is found by two different names has two places, and is shown at the unique one.
SELECT place.name AS place, u.id, u.username, u.email, u.display_name, u.bio, u.avatar_url, u.created_at,
       (place.is_unique OR NOT starts_with(lower(u.username), lower($1))) AS is_shown
FROM (
    SELECT name, id, bool_or(is_unique) AS is_unique
    FROM (
        (SELECT lower(username) COLLATE "C" AS name, id, true AS is_unique
         FROM users
         WHERE is_active
           AND lower(username) COLLATE "C" >= lower($1) AND lower(username) COLLATE "C" < lower($2)
           AND (lower(username) COLLATE "C", id) > ($3, $4)
         ORDER BY lower(username) COLLATE "C", id
         LIMIT $5)
        UNION ALL
        (SELECT lower(display_name) COLLATE "C", id, false
         FROM users
         WHERE is_active
           AND lower(display_name) COLLATE "C" >= lower($1) AND lower(display_name) COLLATE "C" < lower($2)
           AND (lower(display_name) COLLATE "C", id) > ($3, $4)
         ORDER BY lower(display_name) COLLATE "C", id
         LIMIT $5)
    ) AS found
    GROUP BY name, id
    ORDER BY name, id
    LIMIT $5
) AS place
JOIN users AS u ON u.id = place.id
ORDER BY place.name, place.id
