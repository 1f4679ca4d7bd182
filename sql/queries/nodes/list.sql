SELECT id, incarnation, http_address, state, connections, lease_until > now() AS is_alive
FROM nodes
ORDER BY id
