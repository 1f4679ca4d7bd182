-- A node starts: its lives are counted, so that what an earlier one left behind is known as such.
INSERT INTO nodes (id, address, http_address, lease_until)
VALUES ($1, $2, $3, now() + interval '10 seconds')
ON CONFLICT (id) DO UPDATE
SET incarnation = nodes.incarnation + 1, address = excluded.address,
    http_address = excluded.http_address, started_at = now(),
    lease_until = excluded.lease_until, connections = 0, state = 'serving'
RETURNING incarnation
