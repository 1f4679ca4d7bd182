-- The nodes that may be running: none that has stopped, and none that has not been heard of for so
-- long that no client can still be connected to it. After an outage of Postgres all leases are over,
-- so that one that is over is no proof of death.
SELECT id, incarnation, address, http_address, state, bus_state, connections, started_at,
    extract(epoch FROM lease_until - now())::double precision AS lease_left_s
FROM nodes
WHERE state <> 'stopped' AND lease_until > now() - interval '1 hour'
ORDER BY id
