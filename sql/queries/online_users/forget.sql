-- Nobody of these is connected any more to nodes other than those that are left.
DELETE FROM online_users
WHERE user_id = ANY($3::uuid[]) AND (node_id, incarnation) NOT IN (
    SELECT l.node_id, l.incarnation FROM unnest($1::text[], $2::bigint[]) AS l (node_id, incarnation)
)
