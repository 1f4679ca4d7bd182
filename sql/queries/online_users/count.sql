SELECT count(*) AS users FROM online_users WHERE node_id = $1::text AND incarnation = $2::bigint
