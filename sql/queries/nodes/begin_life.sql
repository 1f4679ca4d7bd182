-- A node starts: its lives are counted, so that what an earlier one left behind is known as such.
INSERT INTO nodes (id, address)
VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE
SET incarnation = nodes.incarnation + 1, address = excluded.address, started_at = now()
RETURNING incarnation
