-- When the present life of a node began.
SELECT started_at FROM nodes WHERE id = $1
