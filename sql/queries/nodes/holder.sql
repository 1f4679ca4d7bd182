-- Who has a node's name: the connection that holds its lock, and the last life that was begun
-- under it.
SELECT
    (
        SELECT pid FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (classid::bigint << 32) | objid::bigint = $2
    ) AS pid,
    n.incarnation, n.http_address AS address,
    coalesce(n.lease_until > clock_timestamp(), false) AS is_alive,
    (extract(epoch FROM n.lease_until) * 1000000)::bigint AS lease_until_us,
    -- It was last renewed before the server was started, or recovered from a crash, which the
    -- checkpointer's start shows to those who may see it: that ended the lock with the connection.
    coalesce(
        n.lease_until - n.lease_ms * interval '1 millisecond' < greatest(
            pg_postmaster_start_time(),
            (SELECT max(backend_start) FROM pg_stat_activity WHERE backend_type = 'checkpointer')
        ),
        false
    ) AS is_of_before
FROM (VALUES (1)) AS one
LEFT JOIN nodes AS n ON n.id = $1
