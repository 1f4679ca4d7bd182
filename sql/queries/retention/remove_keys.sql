-- Removes at most $1 of the keys that are older than $2 days. What another node is removing is
-- passed over.
WITH old AS MATERIALIZED (
    SELECT room_id, user_id, client_id
    FROM publish_keys
    WHERE created_at < now() - make_interval(days => $2)
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
DELETE FROM publish_keys AS k
USING old
WHERE k.room_id = old.room_id AND k.user_id = old.user_id AND k.client_id = old.client_id
