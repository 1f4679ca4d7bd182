-- The node lives and says how it is; only its latest life may. A stopped one needs no lease. A row
-- that is gone, or of an older life than this, as after a restore, is made right. The others hear
-- of it if they should do something else from now on.
WITH before AS (
    SELECT state, bus_state, address FROM nodes WHERE id = $1
),
renewed AS (
    INSERT INTO nodes (id, incarnation, state, connections, bus_state, lease_ms, address, lease_until)
    VALUES (
        $1::text, $2, $3::text, $4, $5, $6::bigint, $7,
        clock_timestamp() + CASE $3 WHEN 'stopped' THEN 0 ELSE $6 END * interval '1 millisecond'
    )
    ON CONFLICT (id) DO UPDATE
    SET incarnation = excluded.incarnation, state = excluded.state,
        connections = excluded.connections, bus_state = excluded.bus_state,
        lease_ms = excluded.lease_ms, address = excluded.address,
        lease_until = excluded.lease_until
    WHERE nodes.incarnation <= excluded.incarnation
    RETURNING state, bus_state, address
)
SELECT
    EXISTS (SELECT FROM renewed) AS is_ours,
    CASE WHEN EXISTS (SELECT * FROM renewed EXCEPT SELECT * FROM before)
        THEN pg_notify('hubbub_nodes', $1)
    END
