-- The nodes, with Postgres's time: the only clock that counts for leases. Who has not been heard of
-- for an hour does not come back without beginning anew.
SELECT
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us,
    id, incarnation, http_address AS address, state, bus_state, lease_ms,
    (extract(epoch FROM lease_until) * 1000000)::bigint AS lease_until_us
FROM nodes
WHERE lease_until > clock_timestamp() - interval '1 hour' OR id = $1
ORDER BY id
