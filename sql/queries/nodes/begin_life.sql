-- A node starts: its lives are counted, so that what an earlier one left behind is known as such.
-- The others hear of it when this is committed. Names that nobody has had for a month are forgotten,
-- or there would be ever more where each start has a new one; those that begin a life meanwhile are not.
WITH forgotten AS (
    DELETE FROM nodes
    WHERE id IN (
        SELECT id FROM nodes
        WHERE lease_until < clock_timestamp() - interval '30 days' AND id <> $1::text
        FOR UPDATE SKIP LOCKED
    )
),
begun AS (
    INSERT INTO nodes (id, address, http_address, lease_ms, lease_until)
    VALUES ($1::text, $2, $3, $4::bigint, clock_timestamp() + $4 * interval '1 millisecond')
    ON CONFLICT (id) DO UPDATE
    SET incarnation = nodes.incarnation + 1, address = excluded.address,
        http_address = excluded.http_address, started_at = now(), lease_ms = excluded.lease_ms,
        lease_until = excluded.lease_until, connections = 0, state = 'serving'
    RETURNING incarnation
)
SELECT incarnation, pg_notify('hubbub_nodes', $1) FROM begun
