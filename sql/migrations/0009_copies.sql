-- What nodes need to know when they keep copies of what is here.

-- The last event that touched a message, for the tags of pages.
CREATE OR REPLACE VIEW message_views AS
SELECT
    m.room_id, m.seq, m.msg_no, m.id, m.user_id, m.body, m.client_id, m.created_at,
    m.thread_id, m.replies, m.mentions, m.edited_at, m.deleted_at, m.pinned_at,
    CASE WHEN m.changed_seq IS NOT NULL THEN (
        SELECT json_agg(json_build_object('emoji', r.emoji, 'count', r.count, 'users', r.users) ORDER BY r.first)::text
        FROM (
            SELECT emoji, count(*), min(seq) AS first, (array_agg(user_id ORDER BY seq, user_id))[1:50] AS users
            FROM reactions
            WHERE message_id = m.id
            GROUP BY emoji
        ) AS r
    ) END AS reactions,
    m.body_bytes,
    greatest(m.seq, m.changed_seq) AS touched_seq
FROM messages AS m;

-- Whoever changes what others see of a user tells every node, by whatever statement. The head of the
-- control log is locked last, as always: this runs at the end of the statement.
CREATE FUNCTION tell_user_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    entry bigint;
BEGIN
    UPDATE control_head SET last_id = last_id + 1 RETURNING last_id INTO entry;
    INSERT INTO control_log (id, kind, data) VALUES (entry, 'user_changed', uuid_send(NEW.id));
    PERFORM pg_notify('hubbub_control', entry::text);
    RETURN NULL;
END
$$;
-- Whoever registers is to be found by everybody. Once a statement: many may be added by one.
CREATE FUNCTION tell_users_added() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    entry bigint;
BEGIN
    UPDATE control_head SET last_id = last_id + 1 RETURNING last_id INTO entry;
    INSERT INTO control_log (id, kind, data) VALUES (entry, 'users_added', '');
    PERFORM pg_notify('hubbub_control', entry::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER users_tell_new AFTER INSERT ON users
    FOR EACH STATEMENT EXECUTE FUNCTION tell_users_added();

CREATE TRIGGER users_tell_changes AFTER UPDATE ON users
    FOR EACH ROW WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION tell_user_changed();
