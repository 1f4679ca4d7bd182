-- A node starts: its lives are counted, so that what an earlier one left behind is known as such.
-- The others hear of it when this is committed.
WITH begun AS (
    INSERT INTO nodes (id, address, http_address, lease_ms, lease_until)
    VALUES ($1::text, $2, $3, $4::bigint, clock_timestamp() + $4 * interval '1 millisecond')
    ON CONFLICT (id) DO UPDATE
    SET incarnation = nodes.incarnation + 1, address = excluded.address,
        http_address = excluded.http_address, started_at = now(), lease_ms = excluded.lease_ms,
        lease_until = excluded.lease_until, connections = 0, state = 'serving'
    RETURNING incarnation
)
SELECT incarnation, pg_notify('hubbub_nodes', $1) FROM begun
