-- Ends a session of the user, and tells every node.
WITH ended AS (
    DELETE FROM sessions WHERE id = $1 AND user_id = $2 RETURNING id, user_id, token_hash
),
told AS (
    SELECT
        row_number() OVER (ORDER BY id) AS place,
        uuid_send(id) || uuid_send(user_id) AS data
    FROM ended
),
numbered AS (
    UPDATE control_head
    SET last_id = last_id + (SELECT count(*) FROM told)
    WHERE EXISTS (SELECT FROM told)
    RETURNING last_id
),
entered AS (
    INSERT INTO control_log (id, kind, data)
    SELECT n.last_id - (SELECT count(*) FROM told) + t.place, 'session_ended', t.data
    FROM told AS t, numbered AS n
)
SELECT e.id, e.token_hash, (SELECT pg_notify('hubbub_control', last_id::text) FROM numbered) AS notified
FROM ended AS e
