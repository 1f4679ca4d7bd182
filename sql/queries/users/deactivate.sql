-- The user may come in no more: their sessions end, and every node is told. No row comes back if
-- there is no such user.
WITH closed AS (
    UPDATE users
    SET is_active = false, updated_at = now(), version = version + 1
    WHERE lower(username) = lower($1)
    RETURNING id
),
ended AS (
    DELETE FROM sessions WHERE user_id IN (SELECT id FROM closed) RETURNING id, user_id
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
SELECT
    c.id,
    (SELECT count(*) FROM ended) AS sessions,
    (SELECT pg_notify('hubbub_control', last_id::text) FROM numbered) AS notified
FROM closed AS c
