-- Some users of whom something else is written than is so, if only these lives of nodes are left.
(
    SELECT o.user_id FROM online_users AS o
    WHERE (o.node_id, o.incarnation) NOT IN (
        SELECT l.node_id, l.incarnation FROM unnest($1::text[], $2::bigint[]) AS l (node_id, incarnation)
    )
    LIMIT $3
)
UNION
(
    SELECT u.id FROM users AS u
    WHERE u.online_status <> 'offline'
        AND NOT EXISTS (SELECT FROM online_users AS o WHERE o.user_id = u.id)
    LIMIT $3
)
