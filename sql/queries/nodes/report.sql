-- The node lives and says how it is; only its present life may. A stopped one needs no lease.
UPDATE nodes
SET state = $3, connections = $4,
    lease_until = CASE $3 WHEN 'stopped' THEN now() ELSE now() + interval '10 seconds' END
WHERE id = $1 AND incarnation = $2
