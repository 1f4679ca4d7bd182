SELECT id, incarnation, address, state, connections, lease_until > now() AS is_alive
FROM nodes
ORDER BY id
